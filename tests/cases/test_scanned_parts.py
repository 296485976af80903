"""Outlines lie on the tissue whoever saved them, and QuPath shows ours on it, also where only a part was scanned."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from resealing import rewrite_record
from rounds import examples
from scanned_parts import (
    MPP,
    SAVED_BY,
    Box,
    ScannedPart,
    boxes_shown_by_qupath,
    paint_mask,
    paint_scanned_part,
    save_in_qupath,
    save_outlines,
    scanned_parts,
)

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.interop import export_slides
from atlaspatch_core.pipeline import process
from atlaspatch_core.validity import make_recipe, stored_in_files, validities
from atlaspatch_core.validity.outcome import Outcome, Status

pytestmark = pytest.mark.quick
SIDE = 32
PART = ScannedPart((700, 500), (640, 512), ((760, 560, 900, 700), (1100, 600, 1250, 900)))


@contextmanager
def folder_of(part: ScannedPart) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        paint_scanned_part(Path(name) / "a.scn", part)
        yield Path(name)


def recipe(folder: Path, **slides):
    slides = {"folders": [folder / "a.scn"], "masks": folder / "masks"} | slides
    values = {
        "output": folder / "out",
        "geometry": [{"patch_size": SIDE, "target_mpp": 0.5, "min_tissue": 0.9}],
        "runtime": {"device": "cpu", "read_workers": 1},
    }
    return make_recipe(make_project(values | {"slides": slides}, origin="test"))


def run(folder: Path, **slides) -> list[Outcome]:
    (folder / "masks").mkdir(exist_ok=True)
    return list(process([SlideSource("a", folder / "a.scn")], recipe(folder, **slides)))


def on_tissue(folder: Path, part: ScannedPart) -> tuple[int, int]:
    """Return how many patches there are, and how many of them lie on the true tissue but for a tenth."""
    with h5py.File(folder / "out" / "patches" / "a.h5") as file:
        corners = file["coords"][:, :2].tolist()
    inside = [any(share(x, y, box) > 0.85 for box in part.tissue) for x, y in corners]
    return len(inside), sum(inside)


def share(x: int, y: int, box: Box) -> float:
    left, top, right, bottom = box
    return max(0, min(x + SIDE, right) - max(x, left)) * max(0, min(y + SIDE, bottom) - max(y, top)) / SIDE**2


def geojson(folder: Path) -> Path:
    return folder / "out" / "contours_geojson" / "a.geojson"


def state_of_mask(folder: Path) -> str:
    made = recipe(folder)
    return next(str(it.state) for it in validities(made, ["a"], stored_in_files(made)) if it.step.kind == "tissue_mask")


@given(part=scanned_parts(), program=st.sampled_from(sorted(SAVED_BY)))
@examples(20)
def test_supplied_outlines_lie_on_the_tissue_and_ours_are_shown_on_it(part: ScannedPart, program: str):
    with folder_of(part) as folder:
        save_outlines(folder / "masks" / "a.geojson", part, program)
        run(folder)
        count, right = on_tissue(folder, part)
        assert count == right > 0
        assert sorted(boxes_shown_by_qupath(geojson(folder), part)) == sorted(part.tissue)
        assert not [it for it in run(folder) if it.status is Status.COMPUTED]


@given(part=scanned_parts(), program=st.sampled_from([it for it in sorted(SAVED_BY) if it != "an earlier version"]))
@examples(10)
def test_outlines_that_a_person_puts_into_the_output_lie_on_the_tissue(part: ScannedPart, program: str):
    with folder_of(part) as folder:
        run(folder)
        save_outlines(geojson(folder), part, program)
        outcomes = run(folder)
        assert outcomes[1].why == "edited by a person"
        count, right = on_tissue(folder, part)
        assert count == right > 0
        assert state_of_mask(folder) == "fresh"


def test_saving_ours_in_qupath_changes_no_result(tmp_path: Path):
    paint_scanned_part(tmp_path / "a.scn", PART)
    run(tmp_path)
    save_in_qupath(geojson(tmp_path))
    assert state_of_mask(tmp_path) == "fresh"
    assert not [it for it in run(tmp_path) if it.status is Status.COMPUTED]


def test_patches_for_qupath_are_shown_where_they_lie_unlike_outlines_for_trident(tmp_path: Path):
    paint_scanned_part(tmp_path / "a.scn", PART)
    run(tmp_path)
    list(export_slides(recipe(tmp_path), "geojson", tmp_path / "qupath"))
    list(export_slides(recipe(tmp_path), "trident", tmp_path / "trident"))
    shown = boxes_shown_by_qupath(tmp_path / "qupath" / "tissue_fraction" / "a.geojson", PART)
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        assert shown == [(x, y, x + SIDE, y + SIDE) for x, y in file["coords"][:, :2].tolist()]
    whole = ScannedPart((0, 0), PART.size, ())
    theirs = boxes_shown_by_qupath(tmp_path / "trident" / "contours_geojson" / "a.geojson", whole)
    assert sorted(theirs) == sorted(boxes_shown_by_qupath(geojson(tmp_path), PART))


def test_outlines_of_an_earlier_version_are_written_anew_for_qupath(tmp_path: Path):
    """They stood in level-0 px, so that QuPath showed them elsewhere; no result changes."""
    paint_scanned_part(tmp_path / "a.scn", PART)
    run(tmp_path)
    path, shown = geojson(tmp_path), boxes_shown_by_qupath(geojson(tmp_path), PART)
    stat = path.stat()
    save_outlines(path, ScannedPart((0, 0), PART.size, tuple(shown)), "an earlier version")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    rewrite_record(tmp_path / "out" / "slides" / "a.json", lambda _: None)
    assert not [it for it in run(tmp_path) if it.status is Status.COMPUTED]
    assert boxes_shown_by_qupath(path, PART) == shown
    assert state_of_mask(tmp_path) == "fresh"


def test_the_option_says_from_where_outlines_count_that_do_not_say_so(tmp_path: Path):
    """QuPath may have shown the whole slide, and a script may have counted from the part."""
    paint_scanned_part(tmp_path / "a.scn", PART)
    mask = save_outlines(tmp_path / "masks" / "a.geojson", ScannedPart((0, 0), PART.size, PART.tissue), "QuPath")
    assert "beside the bounds of what was scanned, 640 × 512 px from (700, 500)" in run(tmp_path)[1].why
    assert run(tmp_path, masks_origin="slide")[1].status is Status.COMPUTED
    assert on_tissue(tmp_path, PART)[0] == on_tissue(tmp_path, PART)[1] > 0
    shutil.rmtree(tmp_path / "out")
    moved = tuple((l - 700, t - 500, r - 700, b - 500) for l, t, r, b in PART.tissue)  # noqa: E741
    save_outlines(mask, ScannedPart((0, 0), PART.size, moved), "a script")
    run(tmp_path, masks_origin="bounds")
    assert on_tissue(tmp_path, PART)[0] == on_tissue(tmp_path, PART)[1] > 0


@given(part=scanned_parts(), origin=st.sampled_from(["slide", "bounds"]), program=st.sampled_from(sorted(SAVED_BY)))
@examples(10)
def test_the_option_says_it_of_outlines_that_a_person_puts_into_the_output(
    part: ScannedPart, origin: str, program: str
):
    """Whoever saved them: what does not say from where it counts does so from where the option says."""
    with folder_of(part) as folder:
        run(folder)
        save_outlines(geojson(folder), part, program, part.corner if origin == "bounds" else (0, 0))
        outcomes = run(folder, masks_origin=origin)
        assert (outcomes[1].why, outcomes[1].warnings) == ("edited by a person", ())
        count, right = on_tissue(folder, part)
        assert count == right > 0
        made = recipe(folder, masks_origin=origin)
        states = {str(it.step): str(it.state) for it in validities(made, ["a"], stored_in_files(made))}
        assert set(states.values()) == {"fresh"}
        assert not [it for it in run(folder, masks_origin=origin) if it.status is Status.COMPUTED]
        (exported,) = export_slides(made, "trident", folder / "trident")
        assert "a.geojson" in {path.name for path in exported.written}


@pytest.mark.parametrize("origin", ["auto", "slide", "bounds"])
def test_ours_are_shown_on_the_tissue_by_the_qupath_that_the_option_speaks_of(origin: str, tmp_path: Path):
    """One that shows all of the slide counts from its corner, there and back again."""
    paint_scanned_part(tmp_path / "a.scn", PART)
    save_outlines(tmp_path / "masks" / "a.geojson", PART, "a script")
    run(tmp_path)
    save_outlines(tmp_path / "masks" / "a.geojson", PART, "a script", PART.corner if origin == "bounds" else (0, 0))
    assert not [it for it in run(tmp_path, masks_origin=origin) if it.status is Status.COMPUTED]
    shown_from = ScannedPart((0, 0), PART.size, ()) if origin == "slide" else PART
    assert sorted(boxes_shown_by_qupath(geojson(tmp_path), shown_from)) == sorted(PART.tissue)
    save_in_qupath(geojson(tmp_path))
    assert not [it for it in run(tmp_path, masks_origin=origin) if it.status is Status.COMPUTED]


@given(part=scanned_parts(), covers=st.sampled_from(["slide", "bounds"]))
@examples(8)
def test_a_mask_image_covers_the_slide_or_what_was_scanned_of_it(part: ScannedPart, covers: str):
    with folder_of(part) as folder:
        (folder / "masks").mkdir()
        paint_mask(folder / "masks" / "a.png", part, covers)
        run(folder, masks_origin=covers)
        count, right = on_tissue(folder, part)
        assert count == right > 0


def test_a_mask_of_the_slide_is_refused_by_the_size_of_the_part_that_it_is_to_cover(tmp_path: Path):
    paint_scanned_part(tmp_path / "a.scn", PART)
    (tmp_path / "masks").mkdir()
    paint_mask(tmp_path / "masks" / "a.png", PART, "slide")
    assert (
        "has 1536 × 1280 px, the part that was scanned 640 × 512: other proportions (1.200 against 1.250); give one of "
        "the part that was scanned (--masks-origin)"
    ) in run(tmp_path, masks_origin="bounds")[1].why


def test_a_mask_of_the_slide_or_of_the_part_is_told_until_somebody_says_which(tmp_path: Path):
    part = ScannedPart((700, 500), (768, 640), ((760, 560, 1000, 800),))
    paint_scanned_part(tmp_path / "a.scn", part)
    (tmp_path / "masks").mkdir()
    paint_mask(tmp_path / "masks" / "a.png", part, "slide")
    notes = run(tmp_path)[1].notes
    assert ["say which it is (--masks-origin slide or bounds)" in note for note in notes] == [True]
    assert run(tmp_path)[1].notes == notes
    assert run(tmp_path, masks_origin="slide")[1].notes == ()
    count, right = on_tissue(tmp_path, part)
    assert count == right > 0


@examples(8)
@given(part=scanned_parts(), longest=st.integers(200, 1600))
def test_a_pyramid_of_scores_is_what_qupath_shows_and_lies_where_the_tiles_do(part, longest):
    with folder_of(part) as folder:
        save_outlines(folder / "masks" / "a.geojson", part, "QuPath")
        run(folder)
        with h5py.File(folder / "out" / "patches" / "a.h5") as file:
            np.save(folder / "s.npy", np.ones(len(file["coords"])))
        words = ["--format", "ome-tiff", "--format", "geojson", "--on-white", "--opacity", "1", "--range", "0", "1"]
        words += ["--scores", str(folder / "s.npy"), "--to", str(folder / "drawn"), "--longest", str(longest)]
        said = CliRunner().invoke(cli, ["overlay", str(folder / "out"), *words, "--beyond-tissue"])
        assert said.exit_code == 0, said.output
        with tifffile.TiffFile(folder / "drawn" / "a.ome.tif") as tiff:
            picture, (mpp,) = tiff.asarray(), re.findall('PhysicalSizeX="([^"]+)"', str(tiff.ome_metadata))
        drawn = json.loads((folder / "drawn" / "a.geojson").read_text())["features"]
    tiles = [tile["geometry"]["coordinates"][0] for tile in drawn]
    px = float(mpp) / MPP
    assert picture.shape[1::-1] == pytest.approx([side / px for side in part.size], abs=1)
    is_drawn = (picture != 255).any(2)
    for row, column in np.random.default_rng(1).integers(0, picture.shape[:2], (200, 2)).tolist():
        x, y = (column + 0.5) * px, (row + 0.5) * px
        apart = [max(left - x, x - right, top - y, y - bottom) for (left, top), _, (right, bottom), *_ in tiles]
        if abs(min(apart, key=abs)) > 2 * px:
            assert is_drawn[row, column] == (min(apart) < 0), (x, y)

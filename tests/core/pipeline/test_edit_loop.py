"""The edit loop: a person changes the outlines of one slide, and that slide's results follow; pictures too."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline import pictures
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import make_recipe

STEMS = ("a", "b")
DOWNSTREAM = ["patch_coords", "patch_features/efficientnet_lite0", "slide_embedding/mean-efficientnet_lite0"]
LEFT = [[[256, 256], [768, 256], [768, 768], [256, 768], [256, 256]]]
RIGHT = [[[1024, 256], [1280, 256], [1280, 768], [1024, 768], [1024, 256]]]

Collection = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two finished slides of 1536 × 1024 px with 2 × 2 patches of tissue."""
    for stem in STEMS:
        paint_slide(tmp_path / f"{stem}.svs", stain(white(1536, 1024), 256, 256, 512, 512))
    assert len(computed(run(tmp_path))) == 10
    return tmp_path


def run(folder: Path, *, force: bool = False, **changes) -> list[Outcome]:
    geometry = {"patch_size": 256, "target_mag": 20, "slide_encoders": ["mean-efficientnet_lite0"]}
    values = {
        "output": folder / "out",
        "geometry": [geometry | changes.pop("geometry", {})],
        "runtime": {"device": "cpu", "read_workers": 1},
    }
    sources = [SlideSource(stem, folder / f"{stem}.svs") for stem in STEMS]
    return list(process(sources, make_recipe(make_project(values | changes, origin="test")), force=force))


def computed(outcomes: list[Outcome]) -> list[str]:
    return [f"{outcome.stem} {outcome.step}" for outcome in outcomes if outcome.status is Status.COMPUTED]


def geojson(folder: Path, stem: str = "a") -> Path:
    return folder / "out" / "contours_geojson" / f"{stem}.geojson"


def patches(folder: Path, stem: str = "a") -> list[list[int]]:
    with h5py.File(folder / "out" / "patches" / f"{stem}.h5") as file:
        assert len(file["coords"]) == len(file["features/efficientnet_lite0"])
        return file["coords"][:, :2].tolist()


def states(folder: Path, *without: str) -> dict[str, tuple[bytes, int]]:
    """Return content and modification time of every file of the output, but for those of some slides."""
    files = [path for path in (folder / "out").rglob("*") if path.is_file() and path.name.split(".")[0] not in without]
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
        if not {".locks", ".index"} & set(path.parts)
    }


def by_hand(collection: Collection) -> Any:
    """Add a second piece, in an editor."""
    piece = json.loads(json.dumps(collection["features"][0]))
    piece["geometry"]["coordinates"] = RIGHT
    return {**collection, "features": [*collection["features"], piece]}


def by_qupath(collection: Collection) -> Any:
    """Export as QuPath does: a list, other order, ids, classes, floats, what is not tissue, and one MultiPolygon."""
    floats = [[[[x + 0.25, y - 0.25] for x, y in ring] for ring in polygon] for polygon in (RIGHT, LEFT)]
    cell = {"type": "Polygon", "coordinates": [[[0, 0], [200, 0], [200, 200], [0, 0]]]}
    return [
        feature(cell, objectType="cell", classification={"name": "Tumor", "color": [200, 0, 0]}),
        feature({"type": "Polygon", "coordinates": cell["coordinates"]}, classification={"name": "Ignore*"}),
        feature({"type": "LineString", "coordinates": [[0, 0], [1500, 1000]]}, objectType="annotation"),
        feature(
            {"type": "MultiPolygon", "coordinates": floats},
            objectType="annotation",
            isLocked=False,
            name="edited",
            classification={"names": ["Tissue", "good"], "name": "Tissue: good", "color": [0, 255, 0]},
            measurements=[{"name": "Area µm²", "value": 1.5}],
        ),
    ]


def feature(geometry: dict, **properties: Any) -> dict:
    return {"type": "Feature", "id": "0f7c-11", "geometry": geometry, "properties": properties}


@pytest.mark.parametrize("edit", [by_hand, by_qupath])
def test_only_the_edited_slide_follows_and_the_next_run_changes_nothing(folder: Path, edit: Callable):
    others = states(folder, "a", "a_mask", "a_coords")
    geojson(folder).write_text(json.dumps(edit(json.loads(geojson(folder).read_bytes()))))
    saved = geojson(folder).read_bytes()

    outcomes = run(folder)

    assert computed(outcomes) == [f"a {step}" for step in DOWNSTREAM]
    mask, coords = outcomes[1], outcomes[2]
    assert (mask.status, mask.why, mask.facts["edited"]) == (Status.REUSED, "edited by a person", "true")
    assert coords.why == "upstream changed: tissue_mask"
    assert mask.numbers["fragments"] == 2
    assert {(1024, 256), (256, 256)} <= {(x, y) for x, y in patches(folder)}
    assert patches(folder, "b") == [[256, 256], [512, 256], [256, 512], [512, 512]]
    assert geojson(folder).read_bytes() == saved
    assert states(folder, "a", "a_mask", "a_coords") == others

    before = states(folder)
    assert computed(run(folder)) == []
    assert states(folder) == before


def test_the_same_outlines_reordered_and_as_floats_are_no_edit(folder: Path):
    collection = json.loads(geojson(folder).read_bytes())
    ring = collection["features"][0]["geometry"]["coordinates"][0][:-1]
    turned = [[float(x), float(y)] for x, y in [*ring[2:], *ring[:2]]][::-1]
    outline = {"type": "MultiPolygon", "coordinates": [[[*turned, turned[0]]]]}
    geojson(folder).write_text(json.dumps([feature(outline, objectType="annotation", classification={"name": "X"})]))
    outcomes = run(folder)
    assert computed(outcomes) == []
    assert outcomes[1].facts["edited"] == "false"


def test_deleting_the_file_brings_the_automatic_outlines_back(folder: Path):
    automatic = geojson(folder).read_bytes()
    geojson(folder).write_text(json.dumps(by_hand(json.loads(automatic))))
    run(folder)
    geojson(folder).unlink()
    assert computed(run(folder)) == ["a tissue_mask", *(f"a {step}" for step in DOWNSTREAM)]
    assert geojson(folder).read_bytes() == automatic


def test_overlapping_outlines_count_once(folder: Path):
    collection = json.loads(geojson(folder).read_bytes())
    collection["features"] *= 3
    geojson(folder).write_text(json.dumps(collection))
    mask = run(folder)[1]
    assert mask.numbers["tissue_share"] == pytest.approx(512 * 512 / (1536 * 1024), rel=0.05)


def test_an_edited_slide_keeps_what_was_seen_of_its_ink_and_darkness(folder: Path):
    geojson(folder).write_text(json.dumps(by_hand(json.loads(geojson(folder).read_bytes()))))
    assert {"pen_share", "dark_share"} <= run(folder)[1].numbers.keys()


ALL_PICTURES = {"pictures": {"grids": True, "mask": True, "contours": True}}
OVERLAYS = ("a.png", "a_mask.png", "a_mask_bw.png", "a_contours.png")


def no_pixels(folder: Path) -> None:
    """Wipe the slides' pixels, and nothing that tells: opening or reading them would fail."""
    for stem in STEMS:
        path = folder / f"{stem}.svs"
        state = path.stat()
        path.write_bytes(bytes(state.st_size))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def picture(folder: Path, name: str) -> np.ndarray:
    found = cv2.imread(str(folder / "out" / "visualization" / name), cv2.IMREAD_COLOR_RGB)
    assert found is not None
    return found


def test_overlays_of_a_finished_slide_are_drawn_from_what_is_stored(folder: Path):
    assert not (folder / "out" / "visualization").exists()
    no_pixels(folder)
    assert computed(run(folder, **ALL_PICTURES)) == []
    for name in OVERLAYS[1:]:
        assert picture(folder, name).shape == (683, 1024, 3)
    assert picture(folder, "a.png").shape[1] == 1024
    mask = picture(folder, "a_mask_bw.png")[..., 0] > 0
    assert mask.mean() == pytest.approx(512 * 512 / (1536 * 1024), rel=0.03)


def test_overlays_that_show_what_is_there_are_not_drawn_again(folder: Path, monkeypatch: pytest.MonkeyPatch):
    run(folder, **ALL_PICTURES)
    before = states(folder)
    drawn: list[str] = []
    for name in ("draw_mask", "draw_grid", "draw_contours", "mask_picture"):
        monkeypatch.setattr(pictures.preview, name, lambda *_, name=name, **__: drawn.append(name))
    monkeypatch.setattr(pictures.grid_picture, "draw_grid_picture", lambda *_: drawn.append("grid"))
    run(folder, **ALL_PICTURES)
    assert drawn == []
    assert states(folder) == before


def test_a_grid_of_former_looks_alone_is_drawn_anew_without_the_slide(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pictures, "grid_mark", pictures.provenance_mark)
    run(folder, **ALL_PICTURES)
    monkeypatch.undo()
    before = states(folder)
    no_pixels(folder)
    assert computed(run(folder, **ALL_PICTURES)) == []
    changed = {Path(path).name for path, state in states(folder).items() if before[path] != state}
    assert {"a.png", "b.png"} <= changed <= {"a.png", "b.png", "a_coords.jpg", "b_coords.jpg"}


def test_overlays_follow_the_mask_even_where_nobody_asks_for_them_any_more(folder: Path):
    run(folder, **ALL_PICTURES)
    before = {name: picture(folder, name) for name in OVERLAYS}
    small = (folder / "out" / "thumbnails" / "small" / "a_mask.jpg").read_bytes()
    geojson(folder).write_text(json.dumps(by_hand(json.loads(geojson(folder).read_bytes()))))
    run(folder)
    for name in OVERLAYS:
        assert (picture(folder, name) != before[name]).any(), name
    assert (folder / "out" / "thumbnails" / "small" / "a_mask.jpg").read_bytes() != small


def test_the_grid_follows_the_coords_and_the_mask_stays(folder: Path):
    run(folder, **ALL_PICTURES)
    before = states(folder)
    run(folder, geometry={"step_size": 128}, **ALL_PICTURES)
    changed = {Path(path).name for path, state in states(folder).items() if before.get(path) != state}
    assert changed == {"a.png", "b.png", "a.h5", "b.h5", "a_coords.jpg", "b_coords.jpg"}


def test_another_thumbnail_is_taken_when_the_slide_changed_under_an_edited_mask(folder: Path):
    geojson(folder).write_text(json.dumps(by_hand(json.loads(geojson(folder).read_bytes()))))
    run(folder)
    thumbnail = folder / "out" / "thumbnails" / "a.jpg"
    before = thumbnail.read_bytes()
    paint_slide(folder / "a.svs", stain(white(1536, 1024), 256, 256, 512, 512, (90, 60, 150)))
    run(folder)
    assert thumbnail.read_bytes() != before


def test_the_outlined_thumbnail_lies_where_trident_has_it(folder: Path):
    found = cv2.imread(str(folder / "out" / "contours" / "a.jpg"), cv2.IMREAD_COLOR_RGB)
    assert found is not None
    red = (found[..., 0] > 180) & (found[..., 1:] < 90).all(axis=2)
    assert found.shape == (683, 1024, 3)
    assert red[165:180, 250:430].any()


def test_a_picture_of_another_tool_is_left_alone_also_where_one_is_asked_for(folder: Path):
    theirs = folder / "out" / "visualization" / "a_contours.png"
    theirs.parent.mkdir()
    cv2.imwrite(str(theirs), np.zeros((8, 8, 3), np.uint8))
    before = theirs.read_bytes()
    run(folder)
    assert theirs.read_bytes() == before
    run(folder, **ALL_PICTURES)
    assert theirs.read_bytes() == before


def test_a_geometry_with_a_name_has_its_grid_under_the_names_of_both_tools(tmp_path: Path):
    paint_slide(tmp_path / "a.svs", stain(white(1024, 1024), 256, 256, 512, 512))
    paint_slide(tmp_path / "b.svs", white(1024, 1024))
    geometry = {"name": "20x_256px_0px_overlap", "slide_encoders": []}
    run(tmp_path, geometry=geometry, **ALL_PICTURES)
    names = {path.name for path in (tmp_path / "out" / geometry["name"] / "visualization").iterdir()}
    assert names == {"a.png", "a.jpg", "b.png", "b.jpg"}

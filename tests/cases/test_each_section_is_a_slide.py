"""Of a file that holds several sections each is a slide of its own where that is asked for, with its own pixels."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from paint import (
    MPP,
    Page,
    Pyramid,
    aperio_text,
    paint_scan,
    shrink,
    write_ome,
    write_pages,
    write_series,
    write_zarr_image,
)
from paths import DATA
from pydicom.uid import generate_uid
from pylibCZIrw import czi
from reading import assert_names, assert_shows, show

from atlaspatch_core.cli.main import cli

PLUGIN = DATA / "written_before" / "colour_encoder.py"
GEOMETRY = f"--patch-encoders colour --patch-size 64 --target-mpp {MPP} --device cpu --feature-plugin {PLUGIN}".split()
SIZES = st.tuples(st.integers(300, 420), st.integers(280, 400))
DRAWN = (Phase.explicit, Phase.reuse, Phase.generate)
"""A run of the product takes seconds, so that a failing example is told as it was drawn."""
Scans = Mapping[int, np.ndarray]
"""Number, as ``--series`` takes it, to pixels."""


def run(*words: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(cli, [str(word) for word in words])


def encode(folder: Path, *words: object, slides: str = "slides") -> Result:
    """Run encode-slide on the slides of a folder."""
    return run("encode-slide", folder / slides, "-o", folder / "out", *GEOMETRY, *words)


def stems(folder: Path, kind: str = "patches/*.h5") -> list[str]:
    """Return what the results of a kind are called."""
    return sorted(path.stem for path in (folder / "out").glob(kind))


def assert_has_pixels_of(path: Path, pixels: np.ndarray) -> None:
    """Assert that every patch of a result has the mean colour of its place in a painting."""
    with h5py.File(path) as file:
        coords, features = file["coords"][()], file["features/colour"][()]  # type: ignore[index]
    assert len(coords) > 2
    for (x, y, width, height, _), found in zip(coords, features, strict=True):  # type: ignore[arg-type]
        whole = np.full((height, width, 3), 255, np.uint8)
        part = pixels[y : y + height, x : x + width]
        whole[: part.shape[0], : part.shape[1]] = part
        assert np.abs(found[:3] * 255 - whole.reshape(-1, 3).mean(axis=0)).max() < 1.5


def write_tiff(folder: Path, scans: Sequence[np.ndarray], pictures: bool) -> Scans:
    """Write pages, each scan with its reduction, and between them a macro photo and a label."""
    small = [Page(paint_scan(200, 90, 7), tiled=False, text="macro 200x90")] * pictures
    pages = [page for scan in scans for page in (Page(scan), *small, Page(shrink(scan, 2), reduced=True))]
    write_pages(folder / "a.tif", pages)
    return {next(at for at, page in enumerate(pages) if page.pixels is scan): scan for scan in scans}


def write_aperio(folder: Path, scans: Sequence[np.ndarray], pictures: bool) -> Scans:
    """Write what Aperio writes; a second scan is a page of its own text."""
    pages = [Page(scan, text=aperio_text(scan.shape[1], scan.shape[0])) for scan in scans]
    label = Page(paint_scan(90, 90, 8), tiled=False, text=aperio_text(90, 90, "label"))
    write_pages(folder / "a.svs", [*pages, *[label] * pictures])
    return dict(enumerate(scans))


def write_ome_tiff(folder: Path, scans: Sequence[np.ndarray], pictures: bool) -> Scans:
    """Write images of OME-XML, and one that is called a label."""
    extra = [paint_scan(200, 200, 9)] * pictures
    names = [*(f"section {number}" for number in range(len(scans))), *["Label"] * pictures]
    write_ome(folder / "a.ome.tif", [*scans, *extra], names)
    return dict(enumerate(scans))


def write_zarr(folder: Path, scans: Sequence[np.ndarray], pictures: bool) -> Scans:
    """Write multiscales in groups, and one that is called a macro."""
    root = zarr.open_group(str(folder / "a.ome.zarr"), mode="w", zarr_format=2)
    for number, scan in enumerate([*scans, *[paint_scan(200, 200, 9)] * pictures]):
        write_zarr_image(root.create_group(str(number)), scan, "cyx")
    if pictures:
        root[str(len(scans))].attrs["multiscales"] = [
            root[str(len(scans))].attrs["multiscales"][0] | {"name": "macro"}  # type: ignore[index, operator]
        ]
    return dict(enumerate(scans))


def write_dicom(folder: Path, scans: Sequence[np.ndarray], pictures: bool) -> Scans:
    """Write pyramids of several PyramidUIDs, which wsidicom numbers by their width; one has further focal planes."""
    scans = sorted(scans, key=lambda scan: scan.shape[1::-1], reverse=True)
    first, *rest = scans
    planes = (paint_scan(first.shape[1], first.shape[0], 5), first, paint_scan(first.shape[1], first.shape[0], 6))
    pyramids = [Pyramid(planes if pictures else (first,), (20, 20), generate_uid())]
    pyramids += [Pyramid((scan,), (20 + 10 * at, 50), generate_uid()) for at, scan in enumerate(rest, 1)]
    write_series(folder / "a", pyramids)
    return dict(enumerate(scans))


def write_czi(folder: Path, scans: Sequence[np.ndarray], pictures: bool) -> Scans:
    """Write scenes side by side, of two focal planes the second one shown."""
    with czi.create_czi(str(folder / "a.czi")) as file:
        left = -70
        for number, scan in enumerate(scans):
            for plane in range(1 + pictures):
                shown = scan if plane == pictures else paint_scan(scan.shape[1], scan.shape[0], 6)
                data = np.ascontiguousarray(shown[..., ::-1])
                file.write(data, location=(left, 40 - 90 * number), scene=number, plane={"Z": plane})
            left += scan.shape[1] + 25
        file.write_metadata(document_name="a", scale_x=MPP * 1e-6, scale_y=MPP * 1e-6)
    return dict(enumerate(scans))


FORMATS = {
    "tiff": write_tiff,
    "aperio": write_aperio,
    "ome-tiff": write_ome_tiff,
    "zarr": write_zarr,
    "dicom": write_dicom,
    "czi": write_czi,
}


@pytest.mark.parametrize("kind", FORMATS)
@given(sizes=st.lists(SIZES, min_size=2, max_size=3, unique=True), pictures=st.booleans())
@settings(max_examples=2, deadline=None, phases=DRAWN)
def test_each_section_has_results_of_its_own_pixels(kind: str, sizes: list[tuple[int, int]], pictures: bool):
    scans = [paint_scan(*size, seed) for seed, size in enumerate(sizes, 1)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "slides").mkdir()
        painted = FORMATS[kind](folder / "slides", scans, pictures)
        done = encode(folder, "--series", "all")
        assert done.exit_code == 0, done.output
        assert stems(folder) == sorted(f"a_series{number}" for number in painted), done.output
        assert stems(folder, "thumbnails/*.*") == stems(folder, "contours_geojson/*") == stems(folder)
        for number, scan in painted.items():
            assert_has_pixels_of(folder / "out" / "patches" / f"a_series{number}.h5", scan)
        again = encode(folder, "--series", "all")
        assert "computed" not in again.output.replace("0 computed", ""), again.output
        states = json.loads(run("status", folder / "out", "--all", "--json").stdout)
        assert {(state["slide"], state["state"]) for state in states} == {(stem, "fresh") for stem in stems(folder)}


def assert_alone(folder: Path) -> None:
    """Assert that asking for all sections leaves the slide of a file with one scan what it is."""
    assert encode(folder).exit_code == 0
    again = encode(folder, "--series", "all", "-v")
    assert again.exit_code == 0, again.output
    assert stems(folder) == ["a"]
    assert " computed" not in again.output.replace("0 computed", ""), again.output


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_of_one_scan_keeps_its_name_and_its_results(tmp_path: Path, kind: str):
    (tmp_path / "slides").mkdir()
    FORMATS[kind](tmp_path / "slides", [paint_scan(400, 300, 1)], True)
    assert_alone(tmp_path)


def two_sections(folder: Path) -> list[np.ndarray]:
    """Write an OME-TIFF of two sections and a label into ``folder/slides``."""
    scans = [paint_scan(400, 300, 1), paint_scan(330, 390, 2)]
    (folder / "slides").mkdir()
    write_ome_tiff(folder / "slides", scans, True)
    return scans


def test_commands_that_open_slides_by_themselves_tell_sections_apart(tmp_path: Path):
    scans = two_sections(tmp_path)
    file = tmp_path / "slides" / "a.ome.tif"
    sizes = {f"a_series{number}": (scan.shape[1], scan.shape[0]) for number, scan in enumerate(scans)}

    inspected = json.loads(run("inspect", file, "--series", "all", "--json").stdout)
    assert {of["slide"]: (of["taken"]["width"], of["taken"]["height"]) for of in inspected} == sizes
    assert [of["taken"]["series"] for of in inspected] == [0, 1]
    assert "2 in all" not in run("inspect", file, "--series", "1").output
    beyond = run("inspect", file, "--series", "9")
    assert beyond.exit_code == 1
    assert "3 in all" in " ".join(beyond.output.split())

    surveyed = json.loads(run("doctor", "--slides", tmp_path / "slides", "--series", "all", "--json").stdout)
    assert {of["slide"]: (of["width"], of["height"]) for of in surveyed["slides"]} == sizes

    assert encode(tmp_path, "--series", "all").exit_code == 0
    audited = run("audit", tmp_path / "out", "--slides", tmp_path / "slides", "--series", "all", "--json")
    assert {(of["kind"], of["slide"]) for of in json.loads(audited.stdout)} & {
        (kind, stem) for kind in ("no_slide", "missing", "same_content", "other_size") for stem in sizes
    } == set(), audited.output
    assert ("no_slide", "a_series0") in {
        (of["kind"], of["slide"])
        for of in json.loads(run("audit", tmp_path / "out", "--slides", tmp_path / "slides", "--json").stdout)
    }


def test_each_section_is_converted_to_a_file_of_its_own(tmp_path: Path):
    pytest.importorskip("pyvips")
    scans = two_sections(tmp_path)
    words = ("convert", tmp_path / "slides", "--to", tmp_path / "to", "--compression", "deflate")
    assert "2 converted" in run(*words, "--series", "all").output
    for number, scan in enumerate(scans):
        assert_shows(show(tmp_path / "to" / f"a_series{number}.tiff"), scan)
    assert "2 verified and kept" in run(*words, "--series", "all").output
    assert "1 converted" in run(*words, "--series", "1").output
    assert_shows(show(tmp_path / "to" / "a.tiff"), scans[1])


def test_a_word_that_is_no_choice_is_wrong_usage(tmp_path: Path):
    two_sections(tmp_path)
    for word in ("-1", "every", "1.5"):
        wrong = encode(tmp_path, f"--series={word}")
        assert wrong.exit_code == 2
        assert "is no number of 0 or more, and not all" in " ".join(wrong.output.split())


def test_pyramids_of_one_place_and_of_two_uids_are_never_one_slide(tmp_path: Path):
    scans = [paint_scan(400, 300, 1), paint_scan(330, 390, 2)]
    path = write_series(tmp_path / "a", [Pyramid((scan,), (20, 20), generate_uid()) for scan in scans])
    assert_names(show(path), [(400, 300)])
    for number, scan in enumerate(scans):
        assert_shows(show(path, series=number), scan)

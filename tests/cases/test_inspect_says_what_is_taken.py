"""What ``inspect`` says is taken is what opening gives, and exactly one statement of the scale counts."""

import tempfile
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import zarr
from hypothesis import example, given
from hypothesis import strategies as st
from long_strips import Strip, paint_strip, strips
from paint import (
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
from pydicom.uid import generate_uid
from rounds import examples
from scale_files import ScaleFile, scale_files, write_scale_file
from scanned_parts import ScannedPart, paint_scanned_part, scanned_parts
from tiff_layouts import Layout, layouts, pages_of

from atlaspatch_core.cli.columns import WIDTH
from atlaspatch_core.cli.inspect_text import inspection_lines
from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import AtlasPatchError, ImplausibleScale, UnknownScale
from atlaspatch_core.operations import inspect_slide_file
from atlaspatch_core.operations.slide_files.json_values import inspection_values
from atlaspatch_core.slides import SlideInfo, open_slide
from atlaspatch_core.slides.slide import stem_of

pytestmark = pytest.mark.quick
FEW = examples(25)


def inspected(path: Path, **how: Any) -> dict[str, Any]:
    """Return what is said of a file, after holding it against what opening it gives."""
    mpp, slides = how.pop("mpp", None), Slides(**how)
    source = SlideSource(stem_of(path), path, mpp, "" if mpp is None else "mpp csv", series=slides.series)
    found = inspection_values(inspect_slide_file(source, slides))
    try:
        with open_slide(path, mpp=mpp, mpp_source="mpp csv", **how) as slide:
            info = slide.info
    except AtlasPatchError as error:
        assert_refused(found, error)
    else:
        assert_says(found, info)
    return found


def assert_refused(found: dict[str, Any], error: AtlasPatchError) -> None:
    """Assert that an inspection says why a slide is refused, and takes nothing."""
    assert found["error"] == str(error)
    assert [it["name"] for it in found["readers"] if it["choice"] == "taken"] == []
    assert [it for it in found["readers"] if it["choice"] == "declined"]
    assert (found["taken"] is None) != isinstance(error, UnknownScale | ImplausibleScale)
    assert not any(one["counts"] for one in (*found["scales"], *found["magnifications"]))


def assert_says(found: dict[str, Any], info: SlideInfo) -> None:
    """Assert that an inspection says of a slide what opening it gives."""
    taken, levels = found["taken"], found["levels"]
    assert found["error"] is None
    names = ("reader", "vendor", "width", "height", "mpp", "mpp_source", "magnification", "magnification_source")
    assert {name: taken[name] for name in (*names, "series")} == {
        name: getattr(info, name) for name in (*names, "series")
    }
    assert taken["bounds"] == (info.bounds and {side: getattr(info.bounds, side) for side in taken["bounds"]})
    assert [(it["width"], it["height"], it["downsample_x"], it["downsample_y"]) for it in levels] == [
        (it.width, it.height, *it.downsamples) for it in info.levels
    ]
    assert found["warnings"] == [*info.notes, *filter(None, [info.scale_note])]
    assert [it["name"] for it in found["readers"] if it["choice"] == "taken"] == [info.reader]
    [scale] = [it for it in found["scales"] if it["counts"]]
    assert scale["source"] == info.mpp_source
    assert (scale["x"] + scale["y"]) / 2 == pytest.approx(info.mpp, rel=0.01)
    [magnification] = [it for it in found["magnifications"] if it["counts"]]
    assert (magnification["source"], magnification["value"]) == (info.magnification_source, info.magnification)


def sizes_of(found: dict[str, Any], role: str) -> list[tuple[int, int]]:
    return sorted((part["width"], part["height"]) for part in found["parts"] if part["role"] == role)


@given(layout=layouts(), series=st.sampled_from([None, None, 0, 1]))
@FEW
def test_of_a_tiff_every_page_is_listed_and_levels_are_those_that_are_taken(layout: Layout, series: int | None):
    pages, _, second = pages_of(layout)
    with tempfile.TemporaryDirectory() as folder:
        found = inspected(write_pages(Path(folder) / f"a.{layout.kind}", pages), series=series)
        sizes = [(page.pixels.shape[1], page.pixels.shape[0]) for page in pages]
        assert [(part["width"], part["height"]) for part in found["parts"]] == sizes
        if found["taken"]:
            assert all(level["part"] for level in found["levels"])
            levels = [part for part in found["parts"] if part["role"] == "level"]
            assert sorted(part["level"] for part in levels) == list(range(len(found["levels"])))
            assert all(sizes.index((it["width"], it["height"])) >= 0 for it in found["levels"])
        if series is None and second is not None:
            assert (second.pixels.shape[1], second.pixels.shape[0]) in sizes_of(found, "scan")
        if series is None and layout.macro and layout.kind != "tiff":
            assert sizes_of(found, "overview" if layout.kind == "qptiff" else "macro") == [layout.macro]


@given(file=scale_files(), stated=st.sampled_from([None, None, 0.4]))
@examples(60)
def test_every_statement_of_a_scale_is_listed_and_the_one_that_is_taken_counts(file: ScaleFile, stated: float | None):
    with tempfile.TemporaryDirectory() as folder:
        found = inspected(write_scale_file(Path(folder), file), mpp=stated)
    for mpp in filter(None, (file.text_mpp, file.tags_mpp)):
        assert any(one["x"] == pytest.approx(mpp, rel=1e-3) for one in found["scales"]), found["scales"]


@given(strip=strips())
@examples(10)
def test_each_axis_of_a_level_has_its_own_downsample(strip: Strip):
    with tempfile.TemporaryDirectory() as folder:
        found = inspected(paint_strip(Path(folder) / f"a{strip.suffix}", strip))
    assert [level["part"] for level in found["levels"]] == (
        ["page 0", "page 1"] if strip.suffix == ".svs" else ["page 0", "page 0/0"]
    )


@given(part=scanned_parts())
@examples(6)
def test_the_scanned_part_is_told(part: ScannedPart):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.scn"
        paint_scanned_part(path, part)
        found = inspected(path)
    bounds = found["taken"]["bounds"]
    assert (bounds["x"], bounds["y"], bounds["width"], bounds["height"]) == (*part.corner, *part.size)
    assert [level["part"] for level in found["levels"]] == ["page 0", "page 1"]
    assert [one["series"] for one in found["parts"]] == [None, None]


@given(first=st.booleans(), series=st.sampled_from([None, 0, 1]), name=st.sampled_from(["B", "Label"]))
@examples(10)
def test_of_an_ome_tiff_images_are_listed_by_the_number_that_takes_them(first: bool, series: int | None, name: str):
    scans, names = [paint_scan(640, 480, 1), paint_scan(448, 416, 2)], ["A", name]
    scans, names = (scans[::-1], names[::-1]) if first else (scans, names)
    with tempfile.TemporaryDirectory() as folder:
        found = inspected(write_ome(Path(folder) / "a.ome.tif", scans, names), series=series)
    numbers = {part["series"]: (part["width"], part["height"]) for part in found["parts"] if part["series"] is not None}
    assert numbers == {number: (scan.shape[1], scan.shape[0]) for number, scan in enumerate(scans)}
    if series is None:
        assert sizes_of(found, "label" if name == "Label" else "scan") == [(448, 416)]


@given(first=st.booleans(), series=st.sampled_from([None, 0, 1]))
@examples(6)
def test_of_a_store_the_arrays_of_all_images_are_listed(first: bool, series: int | None):
    scans = [paint_scan(640, 480, 1), paint_scan(448, 416, 2)][:: -1 if first else 1]
    with tempfile.TemporaryDirectory() as folder:
        root = zarr.open_group(str(Path(folder) / "a.zarr"), mode="w", zarr_format=2)
        for number, scan in enumerate(scans):
            write_zarr_image(root.create_group(str(number)), scan, "cyx")
        found = inspected(Path(folder) / "a.zarr", series=series)
    assert len(found["parts"]) == 4
    taken = [(part["name"], part["level"]) for part in found["parts"] if part["role"] == "level"]
    number = series if series is not None else int(first)
    assert taken == [(f"{number}/0", 0), (f"{number}/1", 1)]


@given(planes=st.sampled_from([1, 3]), series=st.sampled_from([None, 1]))
@examples(4)
def test_of_a_dicom_series_the_instances_and_focal_planes_are_told(planes: int, series: int | None):
    scans = (paint_scan(640, 480, 1),) * planes
    pyramids = [Pyramid(scans, (20, 20), generate_uid()), Pyramid((paint_scan(448, 416, 2),), (40, 50), generate_uid())]
    with tempfile.TemporaryDirectory() as folder:
        found = inspected(write_series(Path(folder) / "a", pyramids), series=series)
    assert len(found["parts"]) == found["files"] == 4
    assert found["planes"]["focal"] == (planes if series is None else 1)
    assert len([part for part in found["parts"] if part["role"] == "level"]) == len(found["levels"]) == 2


@pytest.mark.parametrize(
    ("samples", "photometric"), [((480, 640, 5), "minisblack"), ((480, 640, 4), "rgb"), ((480, 640), "minisblack")]
)
def test_samples_are_told_whether_they_can_be_shown_or_not(tmp_path: Path, samples: tuple[int, ...], photometric: str):
    pixels = np.full(samples, 200, np.uint8)
    more = {"planarconfig": "contig", "extrasamples": (0,) * 4} if samples[2:] == (5,) else {}
    found = inspected(write_pages(tmp_path / "a.tif", [Page(pixels, photometric=photometric, more=more)]))
    [part] = found["parts"]
    assert (part["samples"], part["bits"]) == (samples[2] if len(samples) > 2 else 1, 8)
    assert bool(found["taken"]) == (part["samples"] != 5)


def write_any(folder: Path, kind: str) -> tuple[Path, list[Path]]:
    """Write a slide of a kind; return its path and its files."""
    scan = paint_scan(200, 150, 1)
    if kind == "zarr":
        write_zarr_image(zarr.open_group(str(folder / "a.zarr"), mode="w", zarr_format=2), scan, "tczyx")
        return folder / "a.zarr", sorted(file for file in (folder / "a.zarr").rglob("*") if file.is_file())
    if kind == "dicom":
        path = write_series(folder / "a", [Pyramid((scan,) * 2, (1, 1), None)])
        return path, sorted(path.iterdir())
    path = folder / f"a.{kind}"
    if kind == "scn":
        paint_scanned_part(path, ScannedPart((700, 500), (640, 512), ()))
    elif kind == "ome.tif":
        write_ome(path, [scan, scan], ["A", "label"])
    elif kind == "png":
        path.write_bytes(imagecodecs.png_encode(scan))
    else:
        text = aperio_text(200, 150) if kind == "svs" else None
        write_pages(path, [Page(scan, text=text), Page(shrink(scan, 2), reduced=kind != "svs", text=text)])
    return path, [path]


@given(
    kind=st.sampled_from(["tif", "svs", "ome.tif", "scn", "png", "zarr", "dicom"]),
    cut_at=st.one_of(st.none(), st.floats(0, 0.99)),
    bytes_changed=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255), st.booleans()), max_size=12),
    which=st.integers(0, 20),
)
@example("dicom", 0.0, [], 0)
@examples(60)
def test_of_a_damaged_file_something_is_said_whatever_is_damaged(kind: str, cut_at, bytes_changed, which: int):
    with tempfile.TemporaryDirectory() as folder:
        path, files = write_any(Path(folder), kind)
        damaged = files[which % len(files)]
        content = bytearray(damaged.read_bytes())
        for place, byte, is_head in bytes_changed:
            content[int(place * (min(len(content), 512) if is_head else len(content)))] = byte
        damaged.write_bytes(content if cut_at is None else content[: int(cut_at * len(content))])
        found = inspection_values(inspect_slide_file(SlideSource("a", path)))
    assert found["taken"] or found["error"].startswith("a: ")
    assert max(map(len, inspection_lines(found))) <= WIDTH

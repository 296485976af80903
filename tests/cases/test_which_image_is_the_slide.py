"""The slide is the largest scan of a file; its levels show it; what else the file holds is named, and can be had."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from paint import (
    GLASS,
    LOSSY,
    Page,
    Pyramid,
    aperio_text,
    paint_scan,
    qpi_text,
    shrink,
    write_ome,
    write_pages,
    write_series,
    write_zarr_image,
)
from paths import DATA
from processes import run_cli
from pydicom.uid import generate_uid
from reading import assert_names, assert_shows, show

pytestmark = pytest.mark.quick
FEW = settings(max_examples=30, deadline=None)
SIZES = st.tuples(st.sampled_from([640, 704, 520]), st.sampled_from([480, 512, 390]))


@dataclass(frozen=True)
class Layout:
    """How the pages of a TIFF are laid out."""

    kind: str
    size: tuple[int, int]
    factors: tuple[int, ...]
    coarse_first: bool
    second: tuple[int, int] | None
    second_first: bool
    second_has_levels: bool
    macro: tuple[int, int] | None
    compression: str


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw a layout."""
    kind = draw(st.sampled_from(["tiff", "svs", "qptiff"]))
    size = draw(SIZES)
    half = size[0] // 2, size[1] // 2
    second = draw(st.sampled_from([None, None, half, (size[0] // 2, size[1]), (size[0] - 64, size[1] // 2)]))
    plain = kind == "tiff"
    return Layout(
        kind,
        size,
        draw(st.sampled_from([(1,), (1, 2), (1, 2, 4)])),
        plain and draw(st.booleans()),
        second,
        plain and draw(st.booleans()),
        plain and draw(st.booleans()),
        draw(st.sampled_from([None, (300, 120), (size[0] // 4, size[1] // 4), (size[0] // 2, size[1] // 2)])),
        draw(st.sampled_from(["deflate", "zstd", "jpeg"])),
    )


def pages_of(layout: Layout) -> tuple[list[Page], np.ndarray, Page | None]:
    """Return pages in the order in which they are written, the slide, and the page of the second section."""
    slide, how = paint_scan(*layout.size, 1), {"compression": layout.compression}
    text = {"svs": aperio_text(*layout.size), "qptiff": qpi_text("FullResolution")}.get(layout.kind)
    reduced = {"svs": text, "qptiff": qpi_text("ReducedResolution")}.get(layout.kind)
    marked = layout.kind != "svs"
    scan = [
        Page(shrink(slide, factor), marked and factor > 1, reduced if factor > 1 else text, **how)
        for factor in layout.factors
    ]
    scan = scan[::-1] if layout.coarse_first else scan
    pages, second = [*scan], None
    if layout.second:
        section = paint_scan(*layout.second, 2)
        factors = (1, 2) if layout.second_has_levels else (1,)
        own = [Page(shrink(section, factor), factor > 1, text, **how) for factor in factors]
        second = own[0]
        pages = [*own, *pages] if layout.second_first else [*pages, *own]
    if layout.macro:
        photo = np.full((*layout.macro[::-1], 3), GLASS, np.uint8)
        photo[20:-20, -100:-20] = (200, 90, 150)
        about = {"svs": aperio_text(*layout.macro, "macro"), "qptiff": qpi_text("Overview")}.get(layout.kind, "Macro")
        pages.append(Page(photo, reduced=True, text=about, **how))
    return pages, slide, second


@given(layout=layouts())
@FEW
def test_a_tiff_shows_its_largest_scan_at_every_level_and_names_the_others(layout: Layout):
    pages, slide, second = pages_of(layout)
    with tempfile.TemporaryDirectory() as folder:
        path = write_pages(Path(folder) / f"a.{layout.kind}", pages)
        shown = show(path)
        assert_shows(shown, slide, LOSSY if layout.compression == "jpeg" else 1.0)
        assert len(shown.levels) <= len(layout.factors)
        if not layout.coarse_first and not layout.second_first:
            assert len(shown.levels) == len(layout.factors)
        assert_names(shown, [layout.second] if layout.second else [])
        if second is not None:
            again = show(path, series=next(at for at, page in enumerate(pages) if page is second))
            assert_shows(again, second.pixels, LOSSY)


@given(size=SIZES, other=SIZES, first=st.booleans(), name=st.sampled_from(["B", "Label", "macro image"]))
@settings(max_examples=12, deadline=None)
def test_an_ome_tiff_shows_its_largest_image_and_names_the_others(size, other, first, name):
    slide, section = paint_scan(*size, 1), paint_scan(*(side - 64 for side in other), 2)
    scans, names = [slide, section], ["A", name]
    if first:
        scans, names = scans[::-1], names[::-1]
    with tempfile.TemporaryDirectory() as folder:
        shown = show(path := write_ome(Path(folder) / "a.ome.tif", scans, names))
        largest = max(scans, key=lambda scan: scan.size) if name == "B" else slide
        rest = section if largest is slide else slide
        assert_shows(shown, largest)
        assert_names(shown, [rest.shape[1::-1]] if name == "B" else [])
        assert_shows(show(path, series=next(at for at, scan in enumerate(scans) if scan is rest)), rest)
        assert "holds no image number 7; it holds number 0" in show(path, series=7).refusal


@given(size=SIZES, other=SIZES, first=st.booleans(), named=st.booleans())
@settings(max_examples=6, deadline=None)
def test_a_store_shows_its_largest_image_and_names_the_others(size, other, first, named):
    slide, section = paint_scan(size[0] + 64, size[1], 1), paint_scan(other[0] - 64, 300, 2)
    scans = [section, slide] if first else [slide, section]
    with tempfile.TemporaryDirectory() as folder:
        root = zarr.open_group(str(Path(folder) / "a.zarr"), mode="w", zarr_format=2)
        for number, scan in enumerate(scans):
            write_zarr_image(root.create_group(str(number)), scan, "cyx")
        if named:
            names = ["label", "A"] if first else ["A", "label"]
            (Path(folder) / "a.zarr" / "OME").mkdir()
            images = "".join(f'<Image Name="{name}"/>' for name in names)
            (Path(folder) / "a.zarr" / "OME" / "METADATA.ome.xml").write_text(f"<OME>{images}</OME>")
        shown = show(Path(folder) / "a.zarr")
        assert_shows(shown, slide)
        assert_names(shown, [] if named else [section.shape[1::-1]])
        assert_shows(show(Path(folder) / "a.zarr", series=int(not first)), section)


def test_focal_planes_that_are_instances_of_their_own_are_not_called_damage(tmp_path: Path):
    planes = tuple(paint_scan(320, 256, seed) for seed in (1, 2, 3))
    shown = show(write_series(tmp_path / "a", [Pyramid(planes, (0, 0), None, (1,), apart=True)]))
    number = next(number for number in (1, 2, 3) if f"of 3 focal planes number {number} is shown" in shown.notes)
    assert_shows(shown, planes[number - 1])


@given(size=SIZES, same=st.booleans(), uids=st.booleans(), planes=st.sampled_from([1, 3]))
@settings(max_examples=8, deadline=None)
def test_a_dicom_series_shows_its_largest_pyramid_and_names_the_others(size, same, uids, planes):
    """The second has the proportions of the first, or not; with one focal plane OpenSlide knows the series, too."""
    other = (size[0] - 64, size[1] - 48) if same else (size[0] - 64, size[1] // 2)
    slide, section = paint_scan(*size, 1), paint_scan(*other, 2)
    blurred = [paint_scan(*size, 5), slide, paint_scan(*size, 6)] if planes == 3 else [slide]
    pyramids = [
        Pyramid(tuple(blurred), (20, 20), generate_uid() if uids else None),
        Pyramid((section,), (40, 50), generate_uid() if uids else None),
    ]
    with tempfile.TemporaryDirectory() as folder:
        shown = show(path := write_series(Path(folder) / "a", pyramids))
        assert_shows(shown, slide)
        assert_names(shown, [other])
        assert ("of 3 focal planes number 2 is shown" in shown.notes) == (planes == 3)
        assert_shows(show(path, series=1), section)


@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize("reduced", [True, False])
def test_a_preview_in_tiles_before_a_scan_in_strips_is_no_slide(tmp_path: Path, tiled: bool, reduced: bool):
    scan = paint_scan(640, 480, 1)
    path = write_pages(tmp_path / "a.tif", [Page(shrink(scan, 4), reduced), Page(scan, tiled=tiled)])
    assert_shows(show(path), scan)
    assert_names(show(path), [])


def test_a_preview_before_the_scan_is_told_from_it_end_to_end(tmp_path: Path):
    scan, section = paint_scan(704, 512, 1), paint_scan(320, 512, 2)
    write_pages(tmp_path / "a.tif", [Page(shrink(scan, 4), reduced=True), Page(section), Page(scan)])
    done = encode(tmp_path)
    assert (
        "a: WARNING: it holds 2 images: number 2 (704 × 512 px) is taken, number 1 (320 × 512 px) is not; --series "
        "takes another" in " ".join(done.stdout.split())
    ), done
    other = encode(tmp_path, "--series", "1")
    assert "series the largest → 1" in " ".join(other.stdout.split()), other
    assert "it holds 2 images" not in other.stdout
    converted = run_cli("convert", "a.tif", "--to", "converted", folder=tmp_path)
    assert "WARNING: a: it holds 2 images: number 2 (704 × 512 px) is taken" in converted.stderr, converted


def encode(folder: Path, *more: str):
    """Run encode-slide on a.tif."""
    words = "encode-slide a.tif -o out --patch-encoders colour --patch-size 64 --target-mpp 0.5 --device cpu"
    plugin = DATA / "written_before" / "colour_encoder.py"
    return run_cli(*words.split(), "--feature-plugin", plugin, *more, folder=folder)

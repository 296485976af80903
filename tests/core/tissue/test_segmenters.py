import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from paths import ROOT

from atlaspatch_core.errors import InvalidProject, UnknownName
from atlaspatch_core.option import field_of
from atlaspatch_core.slides.overview import read_overview
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Level, Region, SlideInfo
from atlaspatch_core.tissue.segmenters import (
    SEGMENTERS,
    Segmentation,
    Tissue,
    TissueSpec,
    polygon_numbers,
    segment_tissue,
)

pytestmark = pytest.mark.quick

GLASS = (243, 241, 244)
STAIN = np.array([[205, 120, 165], [190, 95, 150], [215, 150, 190]])
Colour = tuple[int, int, int]


def test_segmenters_are_named_as_the_option_and_the_docs_name_them():
    assert [segmenter.name for segmenter in SEGMENTERS.values()] == list(SEGMENTERS)
    assert f": {', '.join(SEGMENTERS)}." in field_of(TissueSpec, "segmenter").option.help
    page = (ROOT / "docs" / "segmenters.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == list(SEGMENTERS)


@dataclass(frozen=True, slots=True)
class LaterSpec(TissueSpec):
    """What decides a mask, with an option more."""

    grain_um: float | None = None


def test_an_option_that_came_later_changes_no_identity_where_it_is_left_out():
    before = Segmentation(TissueSpec()).spec()
    assert Segmentation(LaterSpec()).spec() == before
    assert Segmentation(LaterSpec(grain_um=2.0)).spec() == before | {"grain_um": 2.0}


@dataclass
class Painted:
    """A slide in memory, of one level."""

    pixels: NDArray[np.uint8]
    mpp: float = 8.0

    @property
    def info(self) -> SlideInfo:
        height, width = self.pixels.shape[:2]
        level = Level(width, height, 1.0)
        return SlideInfo("painted", Path("painted.png"), "memory", (level,), self.mpp, "stated", 1.25, "stated")

    def read_region(self, region: Region) -> NDArray[np.uint8]:
        out = np.full((region.height, region.width, 3), 255, np.uint8)
        part = self.pixels[region.y : region.y + region.height, region.x : region.x + region.width]
        out[: part.shape[0], : part.shape[1]] = part
        return out

    def close(self) -> None: ...

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None: ...


def glass(colour: Colour = GLASS, height: int = 400, width: int = 500) -> NDArray[np.uint8]:
    """Return empty glass with the noise of a scanner."""
    noise = np.random.default_rng(1).normal(0, 1.2, (height, width, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def disc(pixels: NDArray[np.uint8], x: int, y: int, radius: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    return np.hypot(columns - x, rows - y) <= radius


def tissue(pixels: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fill with H&E colours that change from pixel to pixel, in place."""
    pixels[inside] = STAIN[np.random.default_rng(2).integers(0, 3, int(inside.sum()))]
    return pixels


def stroke(
    pixels: NDArray[np.uint8], colour: Colour, start: tuple[int, int], stop: tuple[int, int]
) -> NDArray[np.uint8]:
    """Draw a pen mark of 30 px in place: ink lets through what lies below."""
    line = np.zeros(pixels.shape[:2], np.uint8)
    cv2.line(line, start, stop, 255, 30)
    ink = 0.85 * cv2.GaussianBlur(line, (0, 0), 1.5)[..., None] / 255.0
    pixels[:] = pixels * (1 - ink) + pixels * (np.array(colour) / 255) * ink
    return pixels


def found(pixels: NDArray[np.uint8], **changes: object) -> Tissue:
    return segment_tissue(Painted(pixels), replace(TissueSpec(), **changes))


def share_within(tissue: Tissue, inside: NDArray[np.bool_]) -> float:
    """Return how much of ``inside`` the polygons cover."""
    mask = np.zeros(inside.shape, np.uint8)
    for piece in tissue.polygons:
        rings = [shapely.get_coordinates(ring).astype(np.int32) for ring in (piece.exterior, *piece.interiors)]
        cv2.fillPoly(mask, rings, 1)
    return float(mask[inside].mean())


def test_disc_of_tissue_is_found_at_its_size():
    pixels = glass()
    inside = disc(pixels, 250, 200, 120)
    result = found(tissue(pixels, inside))
    assert result.numbers["fragments"] == 1
    assert result.numbers["tissue_share"] == pytest.approx(inside.mean(), rel=0.02)
    assert result.numbers["tissue_area_mm2"] == pytest.approx(inside.sum() * 64e-6, rel=0.02)


@pytest.mark.parametrize("colour", [GLASS, (255, 255, 255), (232, 228, 214), (205, 208, 215)])
def test_empty_glass_of_any_tint_has_no_tissue(colour: Colour):
    result = found(glass(colour))
    assert result.polygons == ()
    assert result.numbers["tissue_share"] == 0


@pytest.mark.parametrize("colour", [(234, 224, 237), (244, 232, 240)])
def test_very_faint_tissue_survives(colour: Colour):
    pixels = glass()
    inside = disc(pixels, 250, 200, 120)
    pixels[inside] = glass(colour)[inside]
    assert found(pixels).numbers["tissue_share"] == pytest.approx(inside.mean(), rel=0.05)


def test_pale_tissue_survives_beside_deep_stain():
    pixels = glass()
    pale = disc(pixels, 380, 200, 80)
    pixels[pale] = glass((235, 216, 228))[pale]
    result = found(tissue(pixels, disc(pixels, 130, 200, 110)))
    assert result.numbers["fragments"] == 2
    assert share_within(result, pale) > 0.95


def test_slide_full_of_tissue_is_tissue():
    pixels = glass()
    assert found(tissue(pixels, np.ones(pixels.shape[:2], bool))).numbers["tissue_share"] == pytest.approx(1, abs=0.01)


INKS = [(40, 70, 170), (20, 120, 60), (215, 15, 30), (25, 25, 28)]


@pytest.mark.parametrize("ink", INKS)
def test_pen_mark_on_glass_is_no_tissue(ink: Colour):
    pixels = tissue(glass(), disc(glass(), 150, 200, 90))
    result = found(stroke(pixels, ink, (330, 40), (420, 360)))
    assert result.numbers["fragments"] == 1
    assert result.polygons[0].bounds[2] < 260


@pytest.mark.parametrize("ink", INKS)
def test_slide_with_nothing_but_pen_has_no_tissue(ink: Colour):
    assert found(stroke(glass(), ink, (100, 40), (420, 360))).polygons == ()


def test_tissue_below_a_thin_stroke_stays_unless_pen_marks_are_to_be_removed():
    pixels = glass()
    inside = disc(pixels, 250, 200, 150)
    stroke(tissue(pixels, inside), (40, 70, 170), (150, 150), (350, 250))
    marked = disc(pixels, 250, 200, 10)
    assert share_within(found(pixels), marked) == 1
    removed = found(pixels, remove_penmarks=True)
    assert share_within(removed, marked) == 0
    assert 0.02 < removed.numbers["pen_share"] < 0.06


def test_blue_stain_of_trichrome_is_no_ink():
    pixels = glass()
    inside = disc(pixels, 250, 200, 150)
    colours = np.array([[90, 110, 190], [60, 75, 150], [140, 160, 215]])
    pixels[inside] = colours[np.random.default_rng(2).integers(0, 3, int(inside.sum()))]
    assert share_within(found(pixels), inside) > 0.98
    assert share_within(found(pixels, remove_penmarks=True), inside) > 0.98


def test_black_frame_and_grey_dirt_are_no_tissue():
    pixels = tissue(glass(), disc(glass(), 250, 200, 90))
    pixels[:30] = pixels[:, :25] = 8
    pixels[350:380, 100:200] = 150
    result = found(pixels)
    assert result.numbers["fragments"] == 1
    assert result.polygons[0].bounds == pytest.approx((160, 110, 341, 291), abs=3)
    assert result.numbers["dark_share"] > 0.1


def test_specks_and_holes_are_measured_in_square_micrometres():
    pixels = glass()
    inside = disc(pixels, 200, 200, 150) & ~disc(pixels, 200, 130, 5) & ~disc(pixels, 200, 260, 20)
    tissue(pixels, inside | disc(pixels, 430, 60, 8) | disc(pixels, 430, 300, 20))
    result = found(pixels)
    assert (result.numbers["fragments"], result.numbers["holes"]) == (2, 1)
    everything = found(pixels, min_tissue_um2=5_000, min_hole_um2=1_000)
    assert (everything.numbers["fragments"], everything.numbers["holes"]) == (3, 2)


def test_least_piece_may_be_a_share_of_the_slide():
    pixels = glass()
    tissue(pixels, disc(pixels, 150, 200, 120) | disc(pixels, 400, 200, 40))
    assert found(pixels, min_tissue_share=0.0).numbers["fragments"] == 2
    assert found(pixels, min_tissue_share=0.05).numbers["fragments"] == 1


def test_bundled_slide_is_tissue_by_a_third_to_a_half(bundled_slide: Path):
    with open_slide(bundled_slide) as slide:
        result = segment_tissue(slide, TissueSpec())
    assert 0.36 < result.numbers["tissue_share"] < 0.42
    assert all(piece.is_valid for piece in result.polygons)


@pytest.mark.parametrize("mpp", [8, 2])
@pytest.mark.parametrize(("name", "most"), [("almost-white-1", 0), ("no-tissue-red-pen", 0), ("tcga-green-pen", 0.999)])
def test_real_pen_marks_and_empty_glass(shared_slides: Path, name: str, most: float, mpp: float):
    pixels = cv2.imread(str(shared_slides / "pen" / f"{name}.png"))[..., ::-1]
    result = segment_tissue(Painted(np.ascontiguousarray(pixels), mpp), TissueSpec())
    assert result.numbers["tissue_share"] <= most


def test_same_slide_gives_the_same_polygons():
    pixels = tissue(glass(), disc(glass(), 250, 200, 120))
    assert found(pixels).polygons == found(pixels).polygons


def test_unknown_segmenter_is_an_error_that_lists_the_known():
    with pytest.raises(UnknownName, match=r"no segmenter 'ots'; choose one of .*otsu"):
        segment_tissue(Painted(glass()), TissueSpec(segmenter="ots"))


@pytest.mark.parametrize(
    "change", [{"overview_mpp": 0}, {"min_tissue_um2": -1}, {"min_tissue_share": 1.5}, {"closing_um": float("nan")}]
)
def test_value_out_of_range_is_refused(change: dict):
    with pytest.raises(InvalidProject, match=next(iter(change))):
        TissueSpec(**change)


def test_every_segmenter_states_name_version_licence_and_source():
    for name, segmenter in SEGMENTERS.items():
        assert segmenter.name == name
        assert segmenter.version >= 1
        assert segmenter.license
        assert segmenter.source


def test_numbers_of_any_polygons():
    ring = shapely.Polygon([(0, 0), (100, 0), (100, 100), (0, 100)], [[(10, 10), (20, 10), (20, 20), (10, 20)]])
    numbers = polygon_numbers((ring,), Painted(glass(), 2.0).info)
    assert numbers == pytest.approx(
        {"tissue_share": 9900 / 200_000, "tissue_area_mm2": 9900 * 4e-6, "fragments": 1, "holes": 1}
    )


def checker(side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(4).integers(0, 255, (side, side + 90, 3)).astype(np.uint8)


@pytest.mark.parametrize(("mpp", "factor"), [(8.0, 1), (4.0, 2), (1.0, 8), (0.499, 16)])
def test_overview_is_the_exact_mean_of_squares(mpp: float, factor: int):
    pixels = checker(240)[:, :320]
    overview = read_overview(Painted(pixels, mpp), 8.0)
    blocks = pixels.reshape(240 // factor, factor, 320 // factor, factor, 3).mean(axis=(1, 3))
    assert np.abs(overview.pixels - blocks).max() <= 0.5
    assert (overview.downsample, overview.mpp) == (factor, factor * mpp)


def test_overview_is_the_same_in_one_block_and_in_many(monkeypatch: pytest.MonkeyPatch):
    pixels = checker(700)
    whole = read_overview(Painted(pixels, 1.0), 8.0).pixels
    monkeypatch.setattr("atlaspatch_core.slides.overview.BLOCK", 100)
    assert (read_overview(Painted(pixels, 1.0), 8.0).pixels == whole).all()
    assert whole.shape == (88, 99, 3)


def counting(read: Callable[[Region], NDArray[np.uint8]], sizes: list[int]) -> Callable[[Region], NDArray[np.uint8]]:
    def counted(region: Region) -> NDArray[np.uint8]:
        sizes.append(region.width * region.height)
        return read(region)

    return counted


def test_large_level_is_never_read_at_once():
    slide, sizes = Painted(np.zeros((5000, 4500, 3), np.uint8), 0.5), []
    slide.read_region = counting(slide.read_region, sizes)  # type: ignore[method-assign]
    read_overview(slide, 8.0)
    assert max(sizes) <= 2048**2
    assert sum(sizes) == 5000 * 4500

"""Findings on the numbers of a mask, and the numbers that pixels give."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.patches.filters import FilterSpec, filter_grid, under_ink
from atlaspatch_core.patches.grid import lay_grid
from atlaspatch_core.patches.grid_spec import GridSpec
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.tissue.quality import FINDINGS, RULES, QualitySpec, failed, judge_quality, warnings
from atlaspatch_core.tissue.quality_survey import measure_quality
from atlaspatch_core.tissue.sharpness import blur_share, sharpness
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import make_recipe

USUAL = {
    "tissue_share": 0.3,
    "fragments": 4,
    "dark_share": 0.01,
    "pen_share": 0.0,
    "blur_share": 0.1,
    "absent_tiles": 0,
    "largest_dropped_um2": 0.0,
    "smooth_share": 0.0,
    "dropped_pieces": 0.0,
    "inked_share": 0.0,
    "faint_share": 0.0,
    "black_share": 0.0,
    "mask_glass_share": 0.1,
    "mask_elsewhere_share": 0.1,
    "stain_outside_share": 0.1,
    "mask_glass_x": 12.0,
    "mask_glass_y": 12.0,
    "emptied_by_artifacts": 0.0,
}
PLACE = {"x": 1200.0, "y": 80.0, "density": 0.06}
BLUE_INK = (30, 60, 200)


def odd(**changes: float) -> list[str]:
    return [finding.name for finding in failed(judge_quality(USUAL | changes, QualitySpec()))]


def test_every_rule_judges_and_a_usual_slide_passes_all():
    assert [finding.name for finding in judge_quality(USUAL, QualitySpec())] == list(FINDINGS)
    assert odd() == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"tissue_share": 0.0005}, "little_tissue"),
        ({"tissue_share": 0.96}, "much_tissue"),
        ({"fragments": 0, "tissue_share": 0.0}, "no_tissue"),
        ({"fragments": 201}, "many_fragments"),
        ({"dark_share": 0.31}, "dark_background"),
        ({"pen_share": 0.06}, "pen_marks"),
        ({"blur_share": 0.6}, "blurred"),
        ({"largest_dropped_um2": 9_000.0, "least_um2": 20_000.0}, "small_pieces_only"),
        ({"smooth_share": 0.02} | {f"smooth_{name}": value for name, value in PLACE.items()}, "smooth_region"),
        ({"inked_share": 0.02} | {f"inked_{name}": value for name, value in PLACE.items()}, "inked_region"),
        ({"faint_share": 0.02} | {f"faint_{name}": value for name, value in PLACE.items()}, "faint_region"),
        ({"black_share": 0.02} | {f"black_{name}": value for name, value in PLACE.items()}, "black_region"),
        (
            {"dropped_pieces": 3.0, "dropped_um2": 9e3, "least_um2": 2e4, "dropped_x": 1.0, "dropped_y": 2.0},
            "dropped_pieces",
        ),
        ({"mask_glass_share": 0.6}, "mask_on_glass"),
        ({"mask_elsewhere_share": 0.6}, "mask_elsewhere"),
        ({"emptied_by_artifacts": 1.0}, "emptied_by_artifacts"),
    ],
)
def test_each_oddity_is_one_finding(changes: dict[str, float], name: str):
    assert odd(**changes) == [name]


def test_the_colours_of_a_dark_slide_are_not_taken_for_ink():
    assert odd(dark_share=0.8, pen_share=0.2) == ["dark_background"]


def test_a_number_at_its_bound_passes():
    spec = QualitySpec()
    at_bounds = {rule.number: float(getattr(spec, rule.bound)) for rule in RULES if rule.bound}
    assert failed(judge_quality(at_bounds, spec)) == ()


def test_what_is_not_known_is_not_judged():
    assert [finding.name for finding in judge_quality({"fragments": 1}, QualitySpec())] == [
        "no_tissue",
        "many_fragments",
    ]


def test_a_finding_says_value_and_bound():
    (finding,) = failed(judge_quality(USUAL | {"pen_share": 0.123}, QualitySpec(max_pen_share=0.1)))
    assert (finding.value, finding.bound, finding.passed) == (0.123, 0.1, False)
    assert finding.text == "12.3% of the slide is under ink, more than 10.0%"
    assert warnings(judge_quality(USUAL, QualitySpec())) == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_pen_share": 1.5}, "max_pen_share is 1.5; give a share from 0 to 1"),
        ({"max_fragments": 0}, "max_fragments is 0; give 1 or more"),
        ({"block": ["no_tisue"]}, "block names no_tisue; there are no_tissue"),
        ({"max_blurr": 1}, "max_blurr"),
    ],
)
def test_bounds_that_cannot_be_are_refused(values: dict, words: str):
    with pytest.raises(InvalidProject, match=words):
        make_project({"quality": values}, origin="test")


def test_blur_lowers_sharpness_and_flat_pixels_have_none(bundled_slide: Path):
    pixels = crop(bundled_slide)
    blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 4.0), np.uint8)
    assert sharpness(pixels, 0.5) > 0.5
    assert sharpness(blurred, 0.5) < 0.05
    assert np.isnan(sharpness(np.full((64, 64, 3), 200, np.uint8), 0.5))


def test_pale_tissue_is_as_sharp_as_dark_tissue(bundled_slide: Path):
    pixels = crop(bundled_slide)
    pale = (255 - (255 - pixels.astype(float)) * 0.3).round().astype(np.uint8)
    assert sharpness(pale, 0.5) == pytest.approx(sharpness(pixels, 0.5), rel=0.15)


def test_the_share_of_blurred_tissue_is_that_of_the_blurred_half(bundled_slide: Path, tmp_path: Path):
    pixels = np.tile(crop(bundled_slide), (2, 4, 1))
    pixels[:, 2048:] = cv2.GaussianBlur(pixels[:, 2048:], (0, 0), 5.0)
    polygon = shapely.box(0, 0, 4096, 2048)
    with open_slide(paint_slide(tmp_path / "a.svs", pixels)) as slide:
        found, again = blur_share(slide, (polygon,)), blur_share(slide, (polygon,))
        assert blur_share(slide, ()) == {}
    assert found == again
    assert found["blur_share"] == pytest.approx(0.5, abs=0.1)


def test_a_supplied_mask_learns_of_ink_and_darkness_too(tmp_path: Path):
    pixels = stain(stain(white(2048, 2048), 0, 0, 2048, 512, (20, 20, 20)), 0, 1024, 2048, 256, BLUE_INK)
    with open_slide(paint_slide(tmp_path / "a.svs", pixels)) as slide:
        found = measure_quality(slide, (), {"fragments": 0})
        assert measure_quality(slide, (), {"pen_share": 0.5, "dark_share": 0.5}) == {
            "pen_share": 0.5,
            "dark_share": 0.5,
        }
    assert found["dark_share"] == pytest.approx(0.25, abs=0.01)
    assert found["pen_share"] == pytest.approx(0.125, abs=0.05)


def test_patches_under_ink_and_blurred_patches_are_dropped(bundled_slide: Path, tmp_path: Path):
    pixels = np.tile(crop(bundled_slide), (2, 4, 1))
    pixels[:, 2048:3072] = cv2.GaussianBlur(pixels[:, 2048:3072], (0, 0), 5.0)
    pixels[:, 3072:] = BLUE_INK
    with open_slide(paint_slide(tmp_path / "a.svs", pixels)) as slide:
        grid = lay_grid(slide.info, [shapely.box(0, 0, 4096, 2048)], GridSpec(512))
        ink = under_ink(slide, grid)
        kept = filter_grid(slide, grid, FilterSpec(min_sharpness=0.15, max_pen=0.2), workers=1)
        dry = filter_grid(slide, grid, FilterSpec(max_pen=0.2), workers=1)
        all_of_them = filter_grid(slide, grid, FilterSpec(), workers=1)
    assert (ink[grid.coords[:, 0] >= 3072] > 0.9).all()
    assert (ink[grid.coords[:, 0] < 2560] == 0).all()
    assert {x for x, _ in kept.coords.tolist()} == {0, 512, 1024, 1536}
    assert {x for x, _ in dry.coords.tolist()} == {0, 512, 1024, 1536, 2048, 2560}
    assert len(all_of_them) == len(grid) == 32


def test_a_filter_that_is_off_is_no_part_of_the_fingerprint():
    plain, off, on = (coords_fingerprint(filters) for filters in ({}, {"max_pen": None}, {"max_pen": 0.2}))
    assert plain == off != on


@pytest.mark.parametrize(("field", "value"), [("min_sharpness", 0.0), ("max_pen", 1.0), ("max_pen", -0.1)])
def test_a_filter_that_drops_all_or_nothing_is_refused(field: str, value: float):
    with pytest.raises(InvalidProject, match=f"{field} is {value}"):
        FilterSpec(**{field: value})


def coords_fingerprint(filters: dict) -> str:
    geometry = {"patch_size": 256, "target_mag": 20, "filters": filters}
    return make_recipe(make_project({"geometry": [geometry]}, origin="test")).stages[2].code_version


def test_a_slide_without_tissue_warns_and_is_stopped_only_where_the_project_says_so(tmp_path: Path):
    source = SlideSource("a", paint_slide(tmp_path / "a.svs", white(1024, 1024)))
    warned = run(source, tmp_path, {})
    stopped = run(source, tmp_path, {"block": ["no_tissue"]})
    assert [outcome.status for outcome in warned] == [Status.COMPUTED] * 3
    assert [finding.name for finding in failed(warned[1].findings)] == ["no_tissue"]
    assert [outcome.status for outcome in stopped] == [Status.REUSED, Status.FAILED, Status.SKIPPED]
    assert stopped[1].why == "a: no tissue was found; edit its mask, or take no_tissue out of block in [quality]"
    assert [finding.name for finding in failed(stopped[1].findings)] == ["no_tissue"]
    assert [outcome.status for outcome in run(source, tmp_path, {})] == [Status.REUSED] * 3


def test_a_dark_slide_does_not_pass_in_silence(tmp_path: Path):
    pixels = np.full((1024, 1024, 3), 12, np.uint8)
    cv2.circle(pixels, (512, 512), 150, (20, 60, 200), -1)
    outcomes = run(SlideSource("a", paint_slide(tmp_path / "a.svs", pixels)), tmp_path, {})
    assert "near black" in warnings(outcomes[1].findings)


def test_other_bounds_judge_what_is_stored_without_a_new_mask(tmp_path: Path):
    source = SlideSource("a", paint_slide(tmp_path / "a.svs", stain(white(1024, 1024), 256, 256, 512, 512)))
    assert failed(run(source, tmp_path, {})[1].findings) == ()
    again = run(source, tmp_path, {"min_tissue_share": 0.5})[1]
    assert again.status is Status.REUSED
    assert [finding.name for finding in failed(again.findings)] == ["little_tissue"]


def run(source: SlideSource, folder: Path, quality: dict) -> list[Outcome]:
    values = {
        "output": folder / "out",
        "geometry": [{"patch_size": 256, "target_mag": 20}],
        "runtime": {"device": "cpu", "read_workers": 1},
        "quality": quality,
    }
    return list(process([source], make_recipe(make_project(values, origin="test"))))


def crop(path: Path) -> np.ndarray:
    """Return 1024 px of sharp tissue."""
    from atlaspatch_core.slides.slide import Region

    with open_slide(path) as slide:
        return slide.read_region(Region(720, 1936, 0, 1024, 1024))

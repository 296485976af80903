"""Supplied tissue that lies elsewhere than the slide's is told, exactly where what was painted says so."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from painting import paint_slide
from rounds import examples

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.overview import Overview
from atlaspatch_core.storage.slide_index import read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.contours import geojson_bytes
from atlaspatch_core.tissue.placement import placement_of_mask
from atlaspatch_core.tissue.quality import QualitySpec
from atlaspatch_core.validity import make_recipe, stored_in_files
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.warnings import stored_warnings

SIDE = 320
"""Of the square slide, px."""
MPP = 8.0
GLASS = (243, 241, 244)
COLOURS = [(200, 90, 150), (120, 80, 170), (225, 190, 215), (150, 150, 150), (180, 140, 110)]
Mask = NDArray[np.bool_]
TRANSFORMATIONS: dict[str, Callable[[Mask], Mask]] = {
    "identity": lambda mask: mask,
    "inverse": lambda mask: ~mask,
    "quarter turn": lambda mask: np.rot90(mask),
    "half turn": lambda mask: np.rot90(mask, 2),
    "mirrored": lambda mask: mask[:, ::-1],
    "upside down": lambda mask: mask[::-1],
    "half the scale": lambda mask: scaled(mask, 0.5),
    "twice the scale": lambda mask: scaled(mask, 2.0),
    "shifted": lambda mask: np.roll(mask, (90, 130), axis=(0, 1)),
    "slightly grown": lambda mask: cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0,
}


def scaled(mask: Mask, factor: float) -> Mask:
    """Return a mask at a scale about its upper left corner, as outlines at a wrong scale are."""
    matrix = np.array([[factor, 0, 0], [0, factor, 0]])
    return cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST) > 0


@dataclass(frozen=True)
class Painted:
    """Discs of tissue on glass."""

    pixels: NDArray[np.uint8]
    tissue: Mask


@st.composite
def painted(draw: st.DrawFn) -> Painted:
    """Draw one or two discs of tissue with texture, apart from each other."""
    tissue = np.zeros((SIDE, SIDE), np.uint8)
    for middle in draw(st.sampled_from([[85], [235], [85, 235]])):
        radius, y = draw(st.integers(35, 70)), draw(st.integers(80, 240))
        cv2.circle(tissue, (middle, y), radius, 1, -1)
    return paint(tissue > 0, draw(st.sampled_from(COLOURS)), draw(st.integers(0, 99)))


def paint(tissue: Mask, colour: tuple[int, int, int], seed: int = 0) -> Painted:
    chance = np.random.default_rng(seed)
    grain = 1 + 0.1 * cv2.GaussianBlur(chance.normal(size=(SIDE, SIDE)), (0, 0), 1.0)[..., None]
    stained = np.array(colour) * grain
    light = np.where(tissue[..., None], stained, np.array(GLASS)) + chance.normal(0, 1.0, (SIDE, SIDE, 3))
    return Painted(light.clip(0, 255).astype(np.uint8), tissue)


LEFT = paint(np.hypot(*(np.mgrid[:SIDE, :SIDE] - np.array([[[100]], [[90]]]))) < 60, COLOURS[0])


def run(folder: Path, slide: Painted, mask: Mask | None = None, **changes) -> dict[str, Outcome]:
    if not (folder / "a.svs").exists():
        paint_slide(folder / "a.svs", slide.pixels, mpp=MPP, levels=(1,))
    (folder / "masks").mkdir(exist_ok=True)
    if mask is not None:
        cv2.imwrite(str(folder / "masks" / "a.png"), mask.astype(np.uint8) * 255)
    source = SlideSource("a", folder / "a.svs")
    return {outcome.step.kind: outcome for outcome in process([source], recipe(folder, **changes))}


def recipe(folder: Path, **changes):
    values = {
        "output": folder / "out",
        "slides": {"folders": [folder], "masks": folder / "masks"},
        "geometry": [{"patch_size": 16, "target_mpp": MPP}],
        "runtime": {"device": "cpu", "read_workers": 1},
    }
    return make_recipe(make_project(values | changes, origin="test"))


def status_says(folder: Path) -> tuple[str, ...]:
    made = recipe(folder)
    stored, index = stored_in_files(made), read_slide_index(Store(folder / "out"))
    return stored_warnings(index, ["a"], QualitySpec(), stored).get("a", ())


def told(outcomes: dict[str, Outcome]) -> list[str]:
    return [text for outcome in outcomes.values() for text in outcome.warnings if "supplied" in text]


@examples(40)
@given(painted(), st.sampled_from(sorted(TRANSFORMATIONS)))
def test_a_mask_is_told_to_lie_on_glass_exactly_where_it_does(slide: Painted, name: str):
    mask = np.asarray(TRANSFORMATIONS[name](slide.tissue), bool)
    assume(mask.any() and not mask.all())
    on_glass, missed = np.mean(~slide.tissue[mask]), np.mean(~mask[slide.tissue])
    assume(abs(on_glass - 0.5) > 0.07 and abs(missed - 0.5) > 0.03)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run(Path(folder), slide, mask)
        assert len(told(outcomes)) == (on_glass > 0.5), (name, on_glass, told(outcomes))
        assert any("lies elsewhere" in text for text in told(outcomes)) == (on_glass > 0.5 and missed > 0.5)
        assert told(run(Path(folder), slide)) == told(outcomes)
        assert set(told(outcomes)) <= set(status_says(Path(folder)))


def test_a_warning_says_both_shares_the_place_and_the_cure(tmp_path: Path):
    (text,) = told(run(tmp_path, LEFT, LEFT.tissue[:, ::-1]))
    assert text.startswith("the supplied tissue lies elsewhere than the slide's: ")
    assert "100% of it is bare glass, and 100% of what is stained lies outside of it; look at x 2" in text
    assert "not inverted, turned, mirrored, shifted or of another scale (--mask-values, --masks-origin)" in text


def test_outlines_put_into_the_output_are_looked_at_once_and_told_again(tmp_path: Path):
    run(tmp_path, LEFT)
    path = tmp_path / "out" / "contours_geojson" / "a.geojson"
    path.write_bytes(geojson_bytes([shapely.box(180, 180, 300, 300)], "a"))
    for _ in range(2):
        outcomes = run(tmp_path, LEFT)
        assert outcomes["tissue_mask"].why == "edited by a person"
        assert len(told(outcomes)) == 1
        assert told(outcomes)[0] in status_says(tmp_path)
        (tmp_path / "a.svs").touch()
    path.write_bytes(geojson_bytes([shapely.box(60, 70, 120, 130)], "a"))
    assert told(run(tmp_path, LEFT)) == []
    assert not [text for text in status_says(tmp_path) if "supplied" in text]


def test_coords_that_lie_on_glass_are_told(tmp_path: Path):
    run(tmp_path, LEFT)
    (tmp_path / "theirs").mkdir()
    for corners, count in (([[180, 180], [200, 200], [90, 100]], 1), ([[180, 180], [80, 90], [90, 100]], 0)):
        with h5py.File(tmp_path / "theirs" / "a.h5", "w") as file:
            file["coords"] = np.array(corners)
            file["coords"].attrs.update({"patch_size": 16, "patch_size_level0": 16})
        geometry = [{"patch_size": 16, "target_mpp": MPP, "coords": tmp_path / "theirs"}]
        first = run(tmp_path, LEFT, geometry=geometry)["patch_coords"]
        again = run(tmp_path, LEFT, geometry=geometry)["patch_coords"]
        assert (first.status, again.status) == (Status.COMPUTED, Status.REUSED)
        assert first.warnings == again.warnings
        assert len(first.warnings) == count
        assert all("67% of the supplied patches show nothing but glass" in text for text in first.warnings)


NOTHING_TO_SAY = {
    "a tight region of interest": LEFT.tissue & (np.mgrid[:SIDE, :SIDE][1] < 60),
    "a coarse lasso": np.hypot(*(np.mgrid[:SIDE, :SIDE] - np.array([[[100]], [[90]]]))) < 75,
}


@pytest.mark.parametrize("name", NOTHING_TO_SAY)
def test_regions_of_interest_and_lassos_are_no_wonder(name: str, tmp_path: Path):
    assert told(run(tmp_path, LEFT, NOTHING_TO_SAY[name])) == []


def test_where_glass_is_not_what_is_light_nothing_is_said():
    elsewhere, chance = [shapely.box(180, 180, 300, 300)], np.random.default_rng(1)
    fluorescence = np.where(LEFT.tissue[..., None], LEFT.pixels, 12)
    without_stain = np.full((SIDE, SIDE, 3), 243) + chance.normal(0, 1, (SIDE, SIDE, 3))
    pale_all_over = 225 + 12 * cv2.GaussianBlur(chance.normal(size=(SIDE, SIDE, 3)), (0, 0), 2.0) * 10
    pale_all_over[40:80, 40:80] = COLOURS[0]
    for pixels in (fluorescence, without_stain, pale_all_over):
        shown = Overview(pixels.clip(0, 255).astype(np.uint8), 1.0, MPP)
        assert placement_of_mask(shown, elsewhere) == {}


def test_lung_is_no_glass_though_it_is_mostly_air():
    alveoli = LEFT.tissue & ((np.mgrid[:SIDE, :SIDE] % 16 > 3).all(axis=0))
    lung = paint(LEFT.tissue & ~alveoli, COLOURS[0])
    outline = shapely.Point(90, 100).buffer(58)
    assert placement_of_mask(Overview(lung.pixels, 1.0, MPP), [outline])["mask_glass_share"] < 0.1

"""Pen marks over tissue: which go, and that they stay away."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rounds import examples

from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.tissue.segmenters import Segmentation, TissueSpec, segment_tissue

MPP = 8.0
INKS = {"black": (25, 25, 28), "blue": (40, 60, 170), "green": (30, 120, 70), "red": (200, 25, 35)}
STAINS = {
    "H&E": [(205, 120, 165), (190, 95, 150), (215, 150, 190)],
    "DAB": [(150, 110, 80), (190, 190, 205), (175, 175, 200)],
}
TISSUE = (150, 120, 95)
"""x, y and radius, px."""
NEAR = st.tuples(st.integers(95, 205), st.integers(65, 175))
"""Points in the tissue."""
FAR = st.tuples(st.sampled_from([5, 295]), st.integers(5, 235))
"""Points on the glass."""


def draw_slide(
    path: Path, stain: str, ink: str, stroke_um: float, ends: tuple[tuple[int, int], ...]
) -> tuple[Path, NDArray[np.bool_], NDArray[np.bool_]]:
    """Write a slide; return its path, what of the tissue is wholly under the stroke, and what it does not touch."""
    chance = np.random.default_rng(2)
    pixels = np.clip(np.array((243, 241, 244)) + chance.normal(0, 1.2, (240, 300, 3)), 0, 255)
    rows, columns = np.mgrid[:240, :300]
    tissue = np.hypot(columns - TISSUE[0], rows - TISSUE[1]) <= TISSUE[2]
    pixels[tissue] = np.array(STAINS[stain])[chance.integers(0, 3, int(tissue.sum()))]
    line = np.zeros((960, 1200), np.uint8)
    start, stop = ((4 * x, 4 * y) for x, y in ends)
    cv2.line(line, start, stop, 255, round(4 * stroke_um / MPP))
    cover = cv2.resize(line, (300, 240), interpolation=cv2.INTER_AREA) / 255
    through = 0.9 * cv2.GaussianBlur(cover, (0, 0), 0.7)[..., None]
    pixels = pixels * (1 - through) + pixels * (np.array(INKS[ink]) / 255) * through
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path, (cover == 1) & tissue, (cover == 0) & tissue


def shares(path: Path, *places: NDArray[np.bool_], **options: object) -> list[float]:
    """Return how much of each place is tissue."""
    with open_slide(path, mpp=MPP) as slide:
        tissue = shapely.union_all(segment_tissue(slide, TissueSpec(**options)).polygons)  # type: ignore[arg-type]
    shapely.prepare(tissue)
    centres = (np.argwhere(place)[:, ::-1] + 0.5 for place in places)
    return [float(shapely.contains_xy(tissue, points[:, 0], points[:, 1]).mean()) for points in centres]


@examples(16)
@given(
    stain=st.sampled_from(sorted(STAINS)),
    ink=st.sampled_from(sorted(INKS)),
    stroke_um=st.floats(100, 600),
    start=NEAR,
    stop=st.one_of(NEAR, FAR),
)
def test_no_filled_hole_brings_back_a_pen_mark(tmp_path_factory, stain, ink, stroke_um, start, stop):
    if np.hypot(start[0] - stop[0], start[1] - stop[1]) * MPP * stroke_um < 150_000:
        return  # a dot: dense nuclei look like it
    path, marked, bare = draw_slide(tmp_path_factory.mktemp("pen") / "a.png", stain, ink, stroke_um, (start, stop))
    under_ink, beside = shares(path, marked, bare, remove_penmarks=True, remove_holes=False)
    assert under_ink <= 0.02
    assert beside >= 0.8


@pytest.mark.parametrize("ink", ["blue", "green", "red"])
def test_without_the_option_thin_strokes_stay_tissue_and_wide_ones_do_not(tmp_path, ink):
    for stroke_um, least, most in ((200, 0.95, 1), (500, 0, 0.05)):
        path, marked, _ = draw_slide(tmp_path / "a.png", "H&E", ink, stroke_um, ((110, 90), (190, 150)))
        [under_ink] = shares(path, marked)
        assert least <= under_ink <= most
        assert shares(path, marked, remove_holes=False) == [1.0]


def test_only_masks_without_pen_marks_have_another_identity():
    plain, removed = (Segmentation(TissueSpec(remove_penmarks=removed)).spec() for removed in (False, True))
    assert removed.keys() - plain.keys() == {"penmarks_version"}

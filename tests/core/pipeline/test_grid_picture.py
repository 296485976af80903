"""Pictures of patches: every cell can be seen, has the colour of its tissue share, and no legend covers it."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.pipeline.grid_cells import FILL_OPACITY, UNKNOWN_COLOUR, share_codes, share_colours
from atlaspatch_core.pipeline.grid_legend import draw_legend, legend_lines, nice_length
from atlaspatch_core.pipeline.grid_picture import draw_grid_picture
from atlaspatch_core.pipeline.grid_view import LONGEST, MOST_PIXELS, GridView, choose_view
from atlaspatch_core.pipeline.preview import picture_size
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.validity.recipe import make_recipe

VIRIDIS = {0: (68, 1, 84), 50: (33, 144, 140), 100: (253, 231, 36)}
"""The ends and the middle of Matplotlib's viridis, in 8 bits, within two steps."""


def slide(width: int, height: int) -> SlideInfo:
    return SlideInfo("a", Path("a.svs"), "painted", (Level(width, height, 1.0),), 0.5, "stated", 20, "stated")


def lattice(columns: int, rows: int, side: int, step: int, *, seed: int = 0, kept: float = 1.0) -> PatchGrid:
    """Return a grid from the corner on, of which a share is kept, with shares of tissue by chance."""
    chance = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * step
    corners = corners[chance.random(len(corners)) < kept]
    shares = chance.random(len(corners)).astype(np.float32)
    return PatchGrid(corners.astype(np.int32), shares, Sampling(side, 0, side, side, step, 0.5))


@st.composite
def slides_and_grids(draw) -> tuple[SlideInfo, PatchGrid]:
    """Generate lattices over slides from tiny to very long; patches may reach beyond the slide."""
    side = draw(st.integers(1, 600))
    step = draw(st.integers(max(1, side // 4), 2 * side))
    columns, rows = draw(st.sampled_from([(0, 0), (1, 1), (7, 5), (60, 40), (4000, 1), (1, 3000), (150, 120)]))
    grid = lattice(columns, rows, side, step, seed=draw(st.integers(0, 99)), kept=draw(st.sampled_from([1.0, 0.6])))
    width, height = max(1, (columns - 1) * step + side // 2 + 1), max(1, (rows - 1) * step + side // 2 + 1)
    return slide(width * draw(st.integers(1, 40)), height * draw(st.integers(1, 40))), grid


def view_of(info: SlideInfo, grid: PatchGrid) -> GridView:
    return choose_view(grid, info, max(picture_size(info, 1024)))


def pink(info: SlideInfo) -> np.ndarray:
    width, height = picture_size(info, 1024)
    return np.full((height, width, 3), (230, 150, 200), np.uint8)


def blended(base: tuple[int, int, int], share: float) -> np.ndarray:
    colour = share_colours()[share_codes(np.array([share], np.float32))][0]
    return np.round((1 - FILL_OPACITY) * np.array(base) + FILL_OPACITY * colour)


@settings(max_examples=200, deadline=None)
@given(slides_and_grids())
def test_every_cell_that_is_shown_has_4_px_and_lies_in_a_picture_of_bounded_size(case):
    info, grid = case
    view = view_of(info, grid)
    sides = view.boxes[:, 2:] - view.boxes[:, :2]
    assert len(view.boxes) == 0 or sides.min() >= 4
    assert view.width * view.height <= MOST_PIXELS
    assert max(view.width, view.height) <= LONGEST
    assert (view.boxes >= 0).all()
    assert (view.boxes[:, 2:] <= (view.width, view.height)).all()
    assert len(view.rows) == len(grid) or view.is_clipped


@settings(max_examples=25, deadline=None)
@given(slides_and_grids())
def test_the_legend_lies_beside_the_picture(case):
    info, grid = case
    view, legend = view_of(info, grid), draw_legend(grid, info, view_of(info, grid))
    page = draw_grid_picture(pink(info), grid, info)
    is_high = view.height > view.width
    corner = page[: len(legend), view.width :] if is_high else page[view.height :, : legend.shape[1]]
    assert (corner[:, : legend.shape[1]] == legend).all()
    assert page.shape[0] <= max(view.height + len(legend), len(legend))


@settings(max_examples=15, deadline=None)
@given(st.integers(4, 300), st.integers(1, 30), st.integers(1, 30), st.integers(0, 9))
def test_a_cell_has_the_colour_of_its_share(side: int, columns: int, rows: int, seed: int):
    grid, info = lattice(columns, rows, side, side, seed=seed), slide(columns * side, rows * side)
    page, view = draw_grid_picture(pink(info), grid, info), view_of(info, grid)
    for (x0, y0, x1, y1), share in zip(view.boxes.tolist(), grid.tissue_fraction.tolist(), strict=True):
        assert (page[y0:y1, x0:x1] == blended((230, 150, 200), share)).all()


def test_colours_go_from_violet_to_yellow():
    colours = share_colours()[share_codes(np.array([0, 0.5, 1], np.float32))].astype(int)
    assert np.abs(colours - np.array(list(VIRIDIS.values()))).max() <= 2


def test_a_share_that_nobody_measured_is_grey_and_the_legend_says_so():
    grid, info = lattice(2, 1, 100, 100), slide(200, 100)
    unknown = PatchGrid(grid.coords, np.full(2, np.nan, np.float32), grid.sampling)
    page, view = draw_grid_picture(np.full((100, 200, 3), 255, np.uint8), unknown, info), view_of(info, unknown)
    grey = np.round(255 * (1 - FILL_OPACITY) + FILL_OPACITY * np.array(UNKNOWN_COLOUR))
    assert (page[50, 50] == grey).all()
    known, other = ((draw_legend(each, info, view) == UNKNOWN_COLOUR).all(axis=2).sum() for each in (grid, unknown))
    assert known < 50 < other


def test_overlapping_patches_have_cells_that_do_not():
    grid, info = lattice(20, 20, 256, 64), slide(2000, 2000)
    boxes = view_of(info, grid).boxes
    first = boxes[boxes[:, 1] == boxes[0, 1]]
    assert (first[1:, 0] >= first[:-1, 2]).all()


def test_a_dense_grid_is_enlarged_and_whole():
    grid, info = lattice(250, 200, 16, 16), slide(4000, 3200)
    view = view_of(info, grid)
    assert (len(view.rows), view.width, view.height, view.is_clipped) == (50_000, 1250, 1000, False)


def test_a_few_small_patches_of_a_huge_slide_are_shown_alone():
    grid, info = lattice(30, 20, 8, 8), slide(200_000, 150_000)
    view = view_of(info, grid)
    assert view.is_clipped
    assert len(view.rows) == 600
    assert "part of the slide, with 600 of 600 patches:" in legend_lines(grid, info, view)


def test_where_not_all_patches_fit_the_fullest_window_is_shown_and_the_rest_counted():
    few, many = lattice(20, 20, 4, 4), lattice(60, 60, 4, 4)
    coords = np.vstack([few.coords, many.coords + 100_000])
    grid = PatchGrid(coords, np.ones(len(coords), np.float32), few.sampling)
    info = slide(200_000, 200_000)
    view = view_of(info, grid)
    assert set(view.rows) <= set(range(400, 4000))
    assert len(view.rows) >= 900
    assert f"part of the slide, with {len(view.rows)} of 4000 patches:" in legend_lines(grid, info, view)


@pytest.mark.parametrize("at", [3270, 3275, 3276, 3279])
def test_a_window_shows_a_patch_also_where_all_lie_at_its_border(at: int):
    coords = np.array([(0, at), (at, 0), (90_000, at), (at, 90_000)], np.int32)
    grid = PatchGrid(coords, np.ones(4, np.float32), Sampling(4, 0, 4, 4, 4, 0.5))
    assert len(view_of(slide(100_000, 100_000), grid).rows) >= 1


def test_the_part_that_is_shown_lies_under_its_cells():
    info = slide(100_000, 100_000)
    picture = np.full((1000, 1000, 3), 255, np.uint8)
    picture[500:510, 500:510] = (200, 0, 0)
    corners = np.array([(x, y) for y in range(49_500, 51_500, 10) for x in range(49_500, 51_500, 10)], np.int32)
    grid = PatchGrid(corners, np.zeros(len(corners), np.float32), Sampling(10, 0, 10, 10, 10, 0.5))
    page, view = draw_grid_picture(picture, grid, info), choose_view(grid, info, 1000)
    red = np.argwhere(page[: view.height, : view.width, 1] < 60)
    top, left = red.min(axis=0) / view.factor + (view.top, view.left)
    assert (left, top) == (pytest.approx(50_000, abs=60), pytest.approx(50_000, abs=60))


def test_lengths_are_one_two_or_five():
    assert [nice_length(most) for most in (1, 1.9, 2, 4.9, 730, 999, 1000)] == [1, 1, 2, 2, 500, 500, 1000]


def test_the_overlay_of_a_run_shows_the_shares_that_are_stored(tmp_path: Path):
    paint_slide(tmp_path / "a.svs", stain(white(1536, 1024), 300, 256, 512, 512))
    geometry = {"patch_size": 64, "target_mag": 20, "min_tissue": 0.01, "slide_encoders": []}
    values = {"output": tmp_path / "out", "geometry": [geometry], "pictures": {"grids": True}}
    project = make_project(values | {"runtime": {"device": "cpu", "read_workers": 1}}, origin="test")
    list(process([SlideSource("a", tmp_path / "a.svs")], make_recipe(project)))

    page = cv2.imread(str(tmp_path / "out" / "visualization" / "a.png"), cv2.IMREAD_COLOR_RGB)
    base = cv2.imread(str(tmp_path / "out" / "thumbnails" / "a.jpg"), cv2.IMREAD_COLOR_RGB)
    assert page is not None
    assert base is not None
    with h5py.File(tmp_path / "out" / "patches" / "a.h5") as file:
        corners, shares = file["coords"][:, :2], file["tissue_fraction"][:]
    assert 0 < shares.min() < 0.9 < shares.max() <= 1
    for (x, y), share in zip((corners + 32) * 2 // 3, shares, strict=True):
        assert np.abs(page[y, x] - blended(tuple(base[y, x].tolist()), share)).max() <= 1

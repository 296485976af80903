import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon, box

from atlaspatch_core.tissue.mask import TissueMask

pytestmark = pytest.mark.quick


def corners(*points: tuple[int, int]) -> np.ndarray:
    return np.array(points, dtype=np.int32).reshape(-1, 2)


def test_a_rectangle_covers_exactly_its_own_pixels():
    mask = TissueMask.from_polygons([box(0, 0, 100, 100)], 200, 150)
    assert mask.downsample == 1
    assert mask.share == 100 * 100 / (200 * 150)
    assert mask.coverage(corners((0, 0), (1, 0), (50, 50), (99, 99), (100, 0)), 100) == pytest.approx(
        [1, 0.99, 0.25, 0.0001, 0]
    )


def test_shares_are_float32_one_per_corner():
    mask = TissueMask.from_polygons([box(0, 0, 9, 9)], 20, 20)
    assert mask.coverage(corners(), 4).shape == (0,)
    assert mask.coverage(corners((0, 0), (4, 4)), 4).dtype == np.float32


def test_a_triangle_has_half_the_area_of_its_square():
    mask = TissueMask.from_polygons([Polygon([(0, 0), (64, 0), (0, 64)])], 64, 64)
    assert mask.coverage(corners((0, 0), (0, 32), (32, 32)), 64).tolist() == pytest.approx([0.5, 0.125, 0])
    assert mask.share == 0.5


def test_holes_are_not_tissue_whichever_way_rings_turn():
    outer, hole = [(0, 0), (40, 0), (40, 40), (0, 40)], [(10, 10), (30, 10), (30, 30), (10, 30)]
    for exterior in (outer, outer[::-1]):
        for interior in (hole, hole[::-1]):
            mask = TissueMask.from_polygons([Polygon(exterior, [interior])], 40, 40)
            assert mask.coverage(corners((10, 10), (0, 0), (0, 10)), 20).tolist() == [0, 0.75, 0.5]


def test_tissue_under_two_polygons_counts_once():
    mask = TissueMask.from_polygons([box(0, 0, 60, 60), box(20, 20, 80, 80), box(30, 30, 50, 50)], 100, 100)
    assert mask.share == (2 * 3600 - 1600) / 10_000
    assert mask.coverage(corners((30, 30)), 20).tolist() == [1]


def test_a_polygon_in_the_hole_of_another_is_tissue():
    ring = box(0, 0, 60, 60).difference(box(10, 10, 50, 50))
    assert isinstance(ring, Polygon)
    mask = TissueMask.from_polygons([ring, box(20, 20, 40, 40)], 60, 60)
    assert mask.coverage(corners((20, 20), (10, 10)), 20).tolist() == [1, 0.25]


def test_an_outline_that_crosses_itself_keeps_both_its_parts():
    mask = TissueMask.from_polygons([Polygon([(0, 0), (40, 40), (40, 0), (0, 40)])], 40, 40)
    assert mask.share == pytest.approx(0.5, abs=1e-4)


def test_tissue_outside_the_slide_does_not_count():
    mask = TissueMask.from_polygons([box(-500, -500, 10, 10), box(90, 90, 130, 300)], 100, 100)
    assert mask.share == 2 * 100 / 10_000
    assert mask.coverage(corners((0, 0), (90, 90)), 20).tolist() == [0.25, 0.25]


def test_squares_over_the_edge_count_the_outside_as_bare():
    mask = TissueMask.from_polygons([box(0, 0, 100, 100)], 100, 100)
    assert mask.coverage(corners((80, 0), (80, 80), (100, 0), (-20, 0)), 40).tolist() == [0.5, 0.25, 0, 0.5]


def test_a_coarse_raster_keeps_areas_and_aligned_squares_exact():
    tissue = Polygon([(10, 10), (910, 130), (700, 800)], [[(400, 200), (600, 200), (600, 400)]])
    fine = TissueMask.from_polygons([tissue], 1001, 999)
    coarse = TissueMask.from_polygons([tissue], 1001, 999, max_pixels=4000)
    squares = corners(*((x, y) for x in range(0, 1001, 64) for y in range(0, 999, 64)))
    assert (fine.downsample, coarse.downsample) == (1, 16)
    assert coarse.share * 1001 * 999 == pytest.approx(tissue.area, rel=1e-5)
    assert coarse.coverage(squares, 64) == pytest.approx(fine.coverage(squares, 64), abs=1e-4)


def test_corners_between_raster_pixels_are_interpolated():
    mask = TissueMask.from_polygons([box(0, 0, 64, 128)], 128, 128, max_pixels=64)
    assert mask.downsample == 16
    assert mask.coverage(corners((60, 60), (56, 3), (61, 7)), 8).tolist() == [0.5, 1, 0.375]


def test_a_coarse_raster_stays_within_its_bound_on_a_large_slide():
    mask = TissueMask.from_polygons([box(49_920, 40_192, 50_176, 40_448)], 100_000, 80_000)
    assert mask.integral.size <= 2**23
    assert mask.coverage(corners((49_920, 40_192), (50_176, 40_192)), 256).tolist() == [1, 0]


def test_no_tissue_is_exactly_zero_beside_slanted_outlines():
    rng = np.random.default_rng(0)
    stars = [Polygon(rng.random((3, 2)) * 300 + (0, 300 * i)) for i in range(3)]
    mask = TissueMask.from_polygons(stars, 1000, 1000)
    assert mask.coverage(corners(*((x, y) for x in range(300, 900, 37) for y in range(0, 900, 41))), 50).max() == 0


def test_a_slide_without_tissue_has_none():
    mask = TissueMask.from_polygons([], 100, 100)
    assert mask.share == 0
    assert mask.coverage(corners((0, 0)), 50).tolist() == [0]


def test_random_squares_agree_with_exact_clipping():
    rng = np.random.default_rng(1)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = rng.uniform(60, 140, 40)
    tissue = Polygon(np.stack([150 + radius * np.cos(angle), 160 + radius * np.sin(angle)], axis=1))
    mask = TissueMask.from_polygons([tissue], 300, 320)
    squares = rng.integers(0, 280, (100, 2))
    exact = [tissue.intersection(box(x, y, x + 37, y + 37)).area / 37**2 for x, y in squares.tolist()]
    assert mask.coverage(squares, 37) == pytest.approx(exact, abs=1e-4)


def test_several_parts_in_one_shape_all_count():
    mask = TissueMask.from_polygons([MultiPolygon([box(0, 0, 10, 10), box(20, 20, 30, 30)])], 40, 40)  # type: ignore
    assert mask.share == 200 / 1600

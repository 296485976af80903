from pathlib import Path

import numpy as np
import pytest
from four_points import probed
from shapely.geometry import Polygon, box

from atlaspatch_core.errors import FinerThanScanned, InvalidProject
from atlaspatch_core.patches.grid import PatchGrid, coords5, lay_grid
from atlaspatch_core.patches.grid_spec import GridSpec, Rule
from atlaspatch_core.patches.probes import probe_grid
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.slides.slide import Level, SlideInfo

pytestmark = pytest.mark.quick

RULES: tuple[Rule, ...] = ("lattice", "trident", "atlaspatch")


def info(width: int = 1000, height: int = 800, mpp: float = 0.5, downsamples: tuple[float, ...] = (1.0,)) -> SlideInfo:
    levels = tuple(Level(int(width / each), int(height / each), each) for each in downsamples)
    return SlideInfo("painted", Path("painted.svs"), "openslide", levels, mpp, "test", 10 / mpp, "test")


def sampling(size: int, step: int) -> Sampling:
    return Sampling(size, 0, size, size, step, 0.5)


def ring(*points: tuple[int, int]) -> np.ndarray:
    return np.array(points, dtype=np.int32)


def test_patch_touched_by_two_pieces_of_tissue_occurs_once():
    grid = lay_grid(info(), [box(0, 0, 256, 100), box(0, 150, 256, 400)], GridSpec(256))
    assert grid.coords.tolist() == [[0, 0], [0, 256]]
    assert grid.tissue_fraction.tolist() == [206 / 256, 144 / 256]
    assert (grid.coords.dtype, grid.tissue_fraction.dtype, len(grid)) == (np.int32, np.float32, 2)


def test_patches_come_row_by_row():
    grid = lay_grid(info(), [box(300, 300, 400, 400), box(0, 0, 1000, 50)], GridSpec(200, min_tissue=0.2))
    assert grid.coords.tolist() == [[0, 0], [200, 0], [400, 0], [600, 0], [800, 0], [200, 200]]


def test_a_patch_is_kept_from_the_least_share_on():
    tissue = [box(0, 0, 100, 30)]
    assert len(lay_grid(info(), tissue, GridSpec(100, min_tissue=0.3))) == 1
    assert len(lay_grid(info(), tissue, GridSpec(100, min_tissue=0.3001))) == 0


def test_least_share_zero_keeps_any_tissue_but_not_none():
    grid = lay_grid(info(), [box(100, 100, 201, 200)], GridSpec(100, min_tissue=0))
    assert grid.coords.tolist() == [[100, 100], [200, 100]]


def test_least_share_one_keeps_full_patches_only():
    grid = lay_grid(info(), [box(90, 90, 310, 210)], GridSpec(100, min_tissue=1))
    assert grid.coords.tolist() == [[100, 100], [200, 100]]


def test_overlapping_patches_lie_a_step_apart():
    grid = lay_grid(info(), [box(100, 100, 200, 200)], GridSpec(100, 50, min_tissue=0.5))
    assert grid.coords.tolist() == [[100, 50], [50, 100], [100, 100], [150, 100], [100, 150]]
    assert grid.tissue_fraction.tolist() == [0.5, 0.5, 1, 0.5, 0.5]


def test_patches_over_the_edge_are_kept_or_dropped():
    tissue = [box(700, 500, 1000, 800)]
    assert lay_grid(info(), tissue, GridSpec(300, min_tissue=0)).coords.tolist() == [
        [600, 300],
        [900, 300],
        [600, 600],
        [900, 600],
    ]
    dropped = lay_grid(info(), tissue, GridSpec(300, min_tissue=0, edge="drop"))
    assert dropped.coords.tolist() == [[600, 300]]
    assert len(lay_grid(info(), tissue, GridSpec(100, min_tissue=0, edge="drop"))) == 9


def test_tissue_of_a_patch_over_the_edge_is_a_share_of_its_full_square():
    grid = lay_grid(info(), [box(900, 0, 1000, 100)], GridSpec(300, min_tissue=0))
    assert grid.coords.tolist() == [[900, 0]]
    assert grid.tissue_fraction == pytest.approx([1 / 9])


def test_tissue_drawn_over_the_edge_gives_no_patches_outside():
    for rule in RULES:
        grid = lay_grid(info(), [box(-900, -900, 100, 100), box(900, 700, 5000, 5000)], GridSpec(100, rule=rule))
        assert [0, 0] in grid.coords.tolist()
        assert grid.coords.min() == 0
        assert grid.coords.max(axis=0).tolist() == [900, 700]


def test_a_slide_without_tissue_has_an_empty_grid():
    for rule in RULES:
        grid = lay_grid(info(), [], GridSpec(256, rule=rule, min_tissue=0))
        assert grid.coords.shape == (0, 2)
        assert coords5(grid).shape == (0, 5)


def test_the_scale_of_the_slide_sizes_patch_and_step():
    grid = lay_grid(info(mpp=0.25, downsamples=(1.0, 4.0)), [box(0, 0, 1000, 800)], GridSpec(100, target_mpp=1.0))
    assert (grid.sampling.patch_size_level0, grid.sampling.step_size_level0) == (400, 400)
    assert coords5(grid).tolist() == [[x, y, 100, 100, 1] for y in (0, 400) for x in (0, 400, 800)]
    assert coords5(grid).dtype == np.int32


def test_more_detail_than_scanned_is_refused():
    with pytest.raises(FinerThanScanned, match="painted"):
        lay_grid(info(), [box(0, 0, 10, 10)], GridSpec(256, target_mpp=0.25))


def test_every_lattice_square_with_enough_tissue_is_found():
    rng = np.random.default_rng(3)
    tissue = [Polygon(rng.random((3, 2)) * 200 + rng.integers(0, 700, 2)) for _ in range(12)]
    grid = lay_grid(info(), tissue, GridSpec(64, 40, min_tissue=0.05))
    everywhere = lay_grid(
        info(), [*tissue, box(999, 799, 1000, 800), box(0, 0, 0.001, 0.001)], GridSpec(64, 40, min_tissue=0.05)
    )
    assert len(grid) > 50
    assert grid.coords.tolist() == everywhere.coords.tolist()


def test_the_atlaspatch_rule_orders_by_contour_and_keeps_equal_patches_once():
    """The atlaspatch rule orders by contour and keeps the first of two equal patches."""
    low, high = ring((10, 210), (90, 210), (90, 290), (10, 290)), ring((10, 10), (190, 10), (190, 220), (10, 220))
    corners = probe_grid([(low, []), (high, [])], sampling(100, 100), 1000, 1000)
    assert corners.tolist() == [[0, 200], [0, 0], [100, 0], [0, 100], [100, 100]]


def test_the_atlaspatch_rule_leaves_out_patches_whose_centre_is_within_a_hole():
    outer, hole = ring((0, 0), (299, 0), (299, 299), (0, 299)), ring((120, 120), (180, 120), (180, 180), (120, 180))
    on_its_rim = ring((150, 150), (180, 150), (180, 180), (150, 180))
    assert [100, 100] not in probe_grid([(outer, [hole])], sampling(100, 100), 1000, 1000).tolist()
    assert [100, 100] in probe_grid([(outer, [on_its_rim])], sampling(100, 100), 1000, 1000).tolist()


def test_the_atlaspatch_rule_agrees_with_opencv_on_tangled_and_degenerate_contours():
    rng = np.random.default_rng(0)
    for _ in range(40):
        at = rng.integers(0, 150, (4, 2))
        contours = [
            (
                (each + rng.integers(0, 60, (rng.integers(1, 12), 2))).astype(np.int32),
                [(each + rng.integers(0, 40, (rng.integers(1, 8), 2))).astype(np.int32) for _ in range(2)],
            )
            for each in at
        ]
        size, step = rng.integers(1, 40, 2).tolist()
        corners = probe_grid(contours, sampling(size, step), 1000, 1000)
        assert corners.tolist() == probed(contours, size, step)


def test_the_atlaspatch_rule_states_tissue_shares_too():
    grid = lay_grid(info(), [box(0, 0, 150, 100)], GridSpec(100, rule="atlaspatch", min_tissue=1))
    assert grid.coords.tolist() == [[0, 0], [100, 0]]
    assert grid.tissue_fraction.tolist() == [1, 0.5]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patch_size", 0),
        ("patch_size", 65_537),
        ("step_size", 0),
        ("step_size", 10**30),
        ("step_size", -5),
        ("target_mpp", 0.0),
        ("target_mpp", 1000.1),
        ("target_mpp", float("nan")),
        ("target_mpp", float("inf")),
        ("min_tissue", -0.1),
        ("min_tissue", 1.5),
        ("scale", "exact"),
        ("rule", "hexagons"),
        ("edge", "mirror"),
    ],
)
def test_an_impossible_geometry_is_refused_by_name_value_and_bound(field: str, value: object):
    with pytest.raises(InvalidProject, match=f"{field} is {value}: give "):
        GridSpec(**{"patch_size": 256, field: value})  # type: ignore


def test_the_largest_and_coarsest_patch_of_the_finest_scan_is_laid():
    tiny = info(mpp=0.05)
    grid = lay_grid(tiny, [box(0, 0, 500, 500)], GridSpec(65_536, 1_000_000, 1000.0, min_tissue=0))
    assert coords5(grid).tolist() == [[0, 0, 1_310_720_000, 1_310_720_000, 0]]


def test_overlap_is_what_neighbours_share():
    assert (GridSpec(256).step, GridSpec(256).overlap) == (256, 0)
    assert GridSpec(256, 192).overlap == 64
    assert GridSpec(256, 300).overlap == 0


def test_coords_without_their_tissue_shares_are_no_grid():
    with pytest.raises(ValueError, match="do not pair"):
        PatchGrid(np.zeros((3, 2), np.int32), np.zeros(2, np.float32), sampling(10, 10))

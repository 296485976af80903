import numpy as np
import pytest

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.patches.filters import FilterSpec, drop_patches, is_black, is_neither_black_nor_white, is_white
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import Sampling

pytestmark = pytest.mark.quick

PINK = (200, 120, 160)
BLACK = (0, 0, 0)
WHITE = (255, 255, 255)


def patch(colour: tuple[int, int, int], pixels: int, rest: tuple[int, int, int] = PINK) -> np.ndarray:
    """A patch of 10 × 10 px with so many of one colour."""
    painted = np.empty((100, 3), np.uint8)
    painted[:] = rest
    painted[:pixels] = colour
    return painted.reshape(10, 10, 3)


def test_seventy_percent_black_is_black():
    assert is_black(np.stack([patch(BLACK, 69), patch(BLACK, 70), patch(BLACK, 100)]), 50).tolist() == [
        False,
        True,
        True,
    ]


def test_seventy_percent_white_is_white():
    assert is_white(np.stack([patch(WHITE, 69), patch(WHITE, 70), patch(WHITE, 100)]), 15).tolist() == [
        False,
        True,
        True,
    ]


def test_black_is_gray_below_the_threshold():
    assert is_black(np.stack([patch((49, 49, 49), 100), patch((50, 50, 50), 100)]), 50).tolist() == [True, False]


def test_saturated_blue_is_black_by_its_gray_value():
    assert is_black(patch((0, 0, 255), 100)[None], 50).tolist() == [True]


def test_white_is_bright_and_unsaturated():
    bright, dim = patch((200, 200, 200), 100), patch((199, 199, 199), 100)
    pale, tinted = patch((255, 241, 255), 100), patch((255, 240, 255), 100)
    assert is_white(np.stack([bright, dim, pale, tinted]), 15).tolist() == [True, False, True, False]


def test_patches_neither_black_nor_white_are_kept():
    patches = np.stack([patch(BLACK, 80), patch(PINK, 100), patch(WHITE, 80), patch(BLACK, 50, WHITE)])
    assert is_neither_black_nor_white(patches, FilterSpec()).tolist() == [False, True, False, True]


def test_no_patches_give_no_answers():
    assert is_neither_black_nor_white(np.zeros((0, 10, 10, 3), np.uint8), FilterSpec()).shape == (0,)


def test_dropped_patches_take_their_tissue_shares_with_them():
    coords = np.array([[0, 0], [10, 0], [20, 0]], np.int32)
    grid = PatchGrid(coords, np.array([0.1, 0.2, 0.3], np.float32), Sampling(10, 0, 10, 10, 10, 0.5))
    kept = drop_patches(grid, np.array([True, False, True]))
    assert kept.coords.tolist() == [[0, 0], [20, 0]]
    assert kept.tissue_fraction == pytest.approx([0.1, 0.3])
    assert kept.sampling == grid.sampling


@pytest.mark.parametrize("field", ["white_thresh", "black_thresh"])
def test_a_threshold_of_zero_is_refused(field: str):
    with pytest.raises(InvalidProject, match=f"{field} is 0: give a number above 0"):
        FilterSpec(**{field: 0})

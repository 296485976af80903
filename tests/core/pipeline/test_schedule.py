"""Which worker computes what, as numbers: how far the end of a run is from the best division, whatever the slides."""

from heapq import heapify, heapreplace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlaspatch_core.pipeline.schedule import fullest, largest_first, piece_size, share_cores

SIZES = st.lists(st.integers(1, 1000), min_size=1, max_size=7)


def end_of(sizes: list[int], workers: int) -> int:
    """Return when the last worker ends that takes one slide after the other, in this order, whenever it is free."""
    ends = [0] * workers
    for size in sizes:
        heapreplace(ends, ends[0] + size)
    return max(ends)


def best_end(sizes: list[int], workers: int) -> int:
    """Return when the last worker ends in the best of all divisions."""
    return min(
        max(
            sum(size for size, owner in zip(sizes, owners, strict=True) if owner == worker) for worker in range(workers)
        )
        for owners in product(range(workers), repeat=len(sizes))
    )


@given(SIZES, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_largest_first_ends_within_four_thirds_of_the_best_division(sizes, workers):
    in_order = [sizes[place] for place in largest_first(sizes)]
    assert sorted(in_order) == sorted(sizes)
    assert end_of(in_order, workers) <= (4 / 3 - 1 / (3 * workers)) * best_end(sizes, workers) + 1e-9


def test_equal_slides_keep_their_order():
    assert largest_first([2, 3, 2, 3]) == [1, 3, 0, 2]


@given(
    st.integers(0, 5000), st.integers(1, 400), st.lists(st.floats(0.2, 5.0), min_size=1, max_size=8), st.integers(1, 64)
)
@settings(max_examples=150, deadline=None)
def test_pieces_of_a_slide_end_all_workers_within_two_pieces_of_the_even_share(patches, least, seconds, batch_size):
    """Whatever the speed of each: seconds a patch; it takes a piece whenever it is free."""
    free, ends = patches, [(0.0, worker) for worker in range(len(seconds))]
    heapify(ends)
    first = piece_size(patches, len(seconds), least, batch_size)
    while free:
        size = piece_size(free, len(seconds), least, batch_size)
        assert 0 < size <= free
        assert size == free or (size >= least and free - size >= least and size % batch_size == 0)
        now, worker = ends[0]
        heapreplace(ends, (now + size * seconds[worker], worker))
        free -= size
    even = patches / sum(1 / second for second in seconds)
    slowest = max(seconds)
    last = max(end for end, _ in ends)
    assert last <= even + slowest * max(first, 2 * least + batch_size) + 1e-6


def test_pieces_become_smaller_until_the_least_is_reached():
    free, pieces = 10_000, []
    while free:
        pieces.append(piece_size(free, 2, 256, 32))
        free -= pieces[-1]
    assert pieces[0] == 2528
    assert pieces[:-1] == sorted(pieces[:-1], reverse=True)
    assert pieces[-1] < 2 * 256 + 32


def test_who_has_most_left_is_asked_unless_it_has_too_few():
    left = {"a": 900, "b": 1200, "c": 511}
    assert fullest(left, 256) == "b"
    assert fullest(left, 256, without={"b"}) == "a"
    assert fullest(left, 256, without={"a", "b"}) is None
    assert fullest({}, 256) is None


@pytest.mark.parametrize(
    ("devices", "cores", "expected"),
    [
        (("cuda:0", "cuda:1"), 16, [8, 8]),
        (("cuda:0", "cuda:1", "cuda:2"), 16, [6, 5, 5]),
        (("cuda:0", "cpu"), 10, [8, 2]),
        (("cpu", "cuda:0"), 11, [2, 9]),
        (("cpu", "cpu"), 1, [1, 1]),
    ],
)
def test_cores_are_all_given_by_what_a_device_needs(devices, cores, expected):
    assert share_cores(devices, cores) == expected

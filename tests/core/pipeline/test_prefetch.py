"""A generator runs ahead in a thread: bounded, closed with its consumer, and its errors arrive."""

import threading

import pytest

from atlaspatch_core.pipeline.prefetch import prefetch

pytestmark = pytest.mark.quick


def test_items_come_in_order():
    assert list(prefetch((number for number in range(100)), lambda _: 1, 10)) == list(range(100))


def test_it_runs_ahead_no_further_than_allowed():
    made: list[int] = []
    enough = threading.Event()

    def numbers():
        for number in range(100):
            made.append(number)
            if len(made) == 6:
                enough.set()
            yield number

    items = prefetch(numbers(), lambda _: 10, 50)
    assert next(items) == 0
    assert enough.wait(600)
    items.close()
    assert len(made) <= 8


def test_an_error_arrives_after_the_items_before_it():
    def numbers():
        yield 1
        raise ValueError("two")

    items = prefetch(numbers(), lambda _: 1, 10)
    assert next(items) == 1
    with pytest.raises(ValueError, match="two"):
        next(items)


def test_closing_the_consumer_closes_the_generator_and_ends_its_thread():
    closed = threading.Event()

    def numbers():
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    before = set(threading.enumerate())
    items = prefetch(numbers(), lambda _: 1, 5)
    next(items)
    items.close()
    assert closed.is_set()
    assert set(threading.enumerate()) <= before


def test_one_item_larger_than_the_bound_still_passes():
    assert list(prefetch((number for number in range(3)), lambda _: 1000, 10)) == [0, 1, 2]

"""What the simulation of a fleet must keep, whatever dies in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

from benchmarks.fleet import Fleet, shards_of, simulate, slides_of

FLEETS = st.builds(
    Fleet,
    workers=st.integers(1, 20),
    start=st.floats(0, 50),
    deaths=st.sampled_from((0.0, 0.5, 5.0)),
    back=st.floats(0, 300),
    slow_share=st.sampled_from((0.0, 0.3)),
)


@pytest.mark.quick
@given(fleet=FLEETS, count=st.integers(1, 60), parts=st.integers(1, 30), seed=st.integers(0, 9))
@examples(60)
def test_each_slide_is_done_once_and_no_fleet_is_faster_than_its_workers(fleet, count, parts, seed):
    seconds, weights = slides_of(count, seed)
    course = simulate(seconds, shards_of(weights, parts), fleet, seed)
    assert sorted(course.done) == sorted(seconds)
    assert course.makespan * fleet.workers * (1 + 1e-9) >= course.useful
    assert course.makespan >= max(seconds.values())
    assert course.lost <= course.deaths * max(seconds.values()) * fleet.slow_factor


@pytest.mark.quick
@given(count=st.integers(1, 60), parts=st.integers(1, 30), start=st.floats(0, 50))
@examples(20)
def test_one_worker_that_never_dies_takes_the_sum(count, parts, start):
    seconds, weights = slides_of(count)
    shards = shards_of(weights, parts)
    course = simulate(seconds, shards, Fleet(1, start, deaths=0.0, slow_share=0.0))
    assert course.makespan == pytest.approx(sum(seconds.values()) + start * len(shards))
    assert (course.lost, course.deaths) == (0.0, 0)

"""How many patches a run will still encode decides what pays."""

from hypothesis import given
from hypothesis import strategies as st

from atlaspatch_core.pipeline.forecast import Forecast


def test_slides_to_come_have_as_many_patches_as_those_before():
    forecast = Forecast(slides=10)
    forecast.begin_slide()
    assert forecast.plan(100) == 1000
    forecast.begin_slide()
    assert forecast.plan(300) == 300 + 8 * 200


def test_slides_that_are_reused_have_no_patches():
    forecast = Forecast(slides=1000)
    for _ in range(999):
        forecast.begin_slide()
    forecast.begin_slide()
    assert forecast.plan(56) == 56


@given(st.integers(1, 50), st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_what_is_to_come_is_never_less_than_the_slide_that_comes(slides: int, planned: list[int]):
    forecast = Forecast(slides)
    for patches in planned:
        forecast.begin_slide()
        assert forecast.plan(patches) >= patches

"""A heat map is what a reference says that looks at one px after the other."""

import time
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moreland import COOLWARM
from rounds import examples

from atlaspatch_core.errors import InvalidScores, UnwritableOutput
from atlaspatch_core.interop.scores import ColourScale, HeatMap, colour_scale, heat_map
from atlaspatch_core.interop.scores.colours import as_texts
from atlaspatch_core.interop.scores.coolwarm import coolwarm
from atlaspatch_core.interop.scores.legend import with_legend
from atlaspatch_core.interop.scores.sheet import extreme_rows
from atlaspatch_core.pipeline.preview import encode_jpeg, encode_png

pytestmark = pytest.mark.quick

numbers = st.floats(-100, 100, width=32)


of_any_size = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def scored_grids(draw, numbers=numbers):
    """A slide, patches on it that may overlap and reach over its edges, their scores, and a size of picture."""
    width, height, side = draw(st.integers(1, 900)), draw(st.integers(1, 900)), draw(st.integers(1, 300))
    places = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    coords = draw(st.lists(places, min_size=1, max_size=12))
    scores = draw(st.lists(st.one_of(numbers, st.just(np.nan)), min_size=len(coords), max_size=len(coords)))
    shape = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    return np.array(coords, np.int64), side, np.array(scores), (width, height), shape


def reference(coords, side, scores, slide, shape, of=np.mean):
    """Return the mean of the scores whose square, at px of the picture, holds a px; NaN where none does."""
    seen = [[[] for _ in range(shape[1])] for _ in range(shape[0])]
    for (x, y), score in zip(coords.tolist(), scores.tolist(), strict=True):
        spans = []
        for corner, length, px in ((x, slide[0], shape[1]), (y, slide[1], shape[0])):
            first = min(max(int(np.round(corner * px / length)), 0), px - 1)
            spans.append((first, min(max(int(np.round((corner + side) * px / length)), first + 1), px)))
        for row in range(*spans[1]):
            for column in range(*spans[0]):
                seen[row][column] += [] if np.isnan(score) else [score]
    return np.array([[of(of_px) if of_px else np.nan for of_px in row] for row in seen])


@given(scored_grids())
@examples(150)
def test_each_px_is_the_mean_of_the_patches_that_cover_it(grid):
    coords, side, scores, slide, shape = grid
    heat = heat_map(scores, coords, side, slide, shape)
    np.testing.assert_allclose(heat.values, reference(coords, side, scores, slide, shape), rtol=1e-5, atol=1e-4)
    across, down, one = heat.affine @ (shape[1], shape[0], 1)
    assert (across, down, one) == (pytest.approx(slide[0]), pytest.approx(slide[1]), 1)


@given(scored_grids(of_any_size))
@examples(150)
def test_a_px_has_nothing_of_patches_elsewhere_however_large_their_scores(grid):
    coords, side, scores, slide, shape = grid
    most = float(np.finfo(np.float32).max)
    shown = np.clip(scores, -most, most)
    with np.errstate(all="raise", under="ignore"):
        values = heat_map(scores, coords, side, slide, shape).values
    largest = reference(coords, side, np.abs(shown), slide, shape, max)
    assert (np.isnan(values) == np.isnan(largest)).all()
    off = np.abs(values - reference(coords, side, shown, slide, shape, fmean))
    assert np.nanmax(off - (1e-6 * largest + 1e-44), initial=0) <= 0


@given(scored_grids(), st.floats(0.1, 2))
@examples(60)
def test_smoothing_stays_inside_and_between_the_scores_and_leaves_equal_ones(grid, smooth):
    coords, side, scores, slide, shape = grid
    sharp = heat_map(scores, coords, side, slide, shape).values
    blurred = heat_map(scores, coords, side, slide, shape, smooth=smooth).values
    assert (np.isnan(sharp) == np.isnan(blurred)).all()
    if np.isfinite(sharp).any():
        assert np.nanmin(blurred) >= np.nanmin(sharp) - 1e-3
        assert np.nanmax(blurred) <= np.nanmax(sharp) + 1e-3
    even = heat_map(np.where(np.isnan(scores), np.nan, 7.0), coords, side, slide, shape, smooth=smooth).values
    np.testing.assert_allclose(even[np.isfinite(even)], 7, rtol=1e-6)


def exactly_smoothed(sharp, sigma):
    """Return a picture under a Gaussian that ends at three standard deviations, over the px that have a number."""
    is_inside = np.isfinite(sharp)

    def blurred(picture):
        for axis in (0, 1):
            away = np.subtract.outer(*[np.arange(picture.shape[axis])] * 2)
            shares = np.where(np.abs(away) <= np.ceil(3 * sigma), np.exp(-(away**2) / (2 * sigma**2)), 0)
            picture = np.moveaxis(np.tensordot(shares, picture, (1, axis)), 0, axis)
        return picture

    with np.errstate(invalid="ignore"):
        return np.where(is_inside, blurred(np.where(is_inside, sharp, 0)) / blurred(is_inside.astype(float)), np.nan)


@given(st.integers(0, 2**32), st.integers(3, 12), st.integers(60, 300), st.floats(0.05, 10))
@examples(80)
def test_smoothing_is_a_gaussian_however_wide_it_is(seed, patches, px, smooth):
    chance, side = np.random.default_rng(seed), 100
    coords = side * np.argwhere(chance.random((patches, patches)) < chance.uniform(0.3, 1)).reshape(-1, 2)
    scores, slide = chance.random(len(coords)), (side * patches, side * patches)
    sigma = smooth * px / patches
    sharp = heat_map(scores, coords, side, slide, (px, px)).values.astype(float)
    blurred = heat_map(scores, coords, side, slide, (px, px), smooth=smooth).values
    assert (np.isnan(blurred) == np.isnan(sharp)).all()
    off = np.abs(blurred - exactly_smoothed(sharp, sigma))[np.isfinite(sharp)]
    assert off.max(initial=0) <= (1e-6 if sigma < 16 else 0.04)
    assert off.sum() <= 0.005 * off.size


def test_a_very_wide_gaussian_takes_no_longer_than_a_narrow_one():
    coords = np.argwhere(np.ones((64, 64))) * 100
    scores, started = np.arange(64.0**2), time.monotonic()
    heat_map(scores, coords, 100, (6400, 6400), (2048, 2048), smooth=10)
    assert time.monotonic() - started < 60, "it took minutes"


@given(scored_grids(), st.floats(0, 1), st.integers(1, 9))
@examples(60)
def test_rows_that_are_worked_out_apart_give_what_they_give_together(grid, smooth, band):
    coords, side, scores, slide, shape = grid
    together = heat_map(scores, coords, side, slide, shape, smooth=smooth).values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atlaspatch_core.interop.scores.smoothing.BAND", band)
        apart = heat_map(scores, coords, side, slide, shape, smooth=smooth).values
    np.testing.assert_allclose(apart, together, rtol=1e-4, atol=1e-3)


@given(scored_grids(), st.integers(0, 2**16))
@examples(30)
def test_where_no_px_may_have_a_value_it_is_blank_and_elsewhere_as_without(grid, seed):
    coords, side, scores, slide, shape = grid
    inside = np.random.default_rng(seed).random(shape) < 0.5
    whole = heat_map(scores, coords, side, slide, shape).values
    part = heat_map(scores, coords, side, slide, shape, inside=inside).values
    np.testing.assert_array_equal(part, np.where(inside, whole, np.nan))


@given(st.lists(numbers, min_size=2, max_size=30), st.sampled_from(["viridis", "turbo", "jet", "coolwarm"]))
@examples(40)
def test_colours_go_by_order_from_the_first_to_the_last(values, name):
    scores = np.array(values)
    scale = colour_scale(scores, name)
    table = [tuple(colour) for colour in scale.table().tolist()]
    places = [table.index(tuple(colour)) for colour in scale.colours(scores.astype(np.float32)).tolist()]
    if scores.min() < scores.max():
        ordered = np.array(places)[np.argsort(scores)]
        assert (np.diff(ordered) >= 0).all()
        assert (ordered[0], table[ordered[-1]]) == (0, table[-1])


@given(st.floats(-(2**99), 2**99, width=32), st.lists(st.floats(-(2**99), 2**99, width=32), max_size=20))
@examples(60)
def test_where_both_ends_are_one_number_others_lie_below_or_above_it(number, others):
    values = np.array([number, np.nan, *others])
    scale = ColourScale(number, number, "viridis")
    table = scale.table()
    coloured = scale.colours(values.astype(np.float32))
    names = [(name, tuple(colour)) for name, colour in scale.classes(values, "p")]
    assert coloured[0].tolist() == table[128].tolist()
    for value, colour, (name, _) in list(zip(values, coloured, names, strict=True))[2:]:
        if np.isclose(value, number, rtol=1e-6, atol=0):
            continue
        assert colour.tolist() == table[255 if value > number else 0].tolist()
        assert name == ("p 8 of 8" if value > number else "p 1 of 8")
    assert [text[:1] for _, text in scale.ticks()][::2] == ["<", ">"]
    assert {tuple(colour) for colour in scale.bar(30).tolist()} == {tuple(table[step]) for step in (0, 128, 255)}


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))
@examples(60)
def test_numbers_of_a_legend_tell_the_ends_apart_as_shortly_as_may_be(low, span):
    scale = ColourScale(low, low + span)
    texts = [text for _, text in scale.ticks()]
    numbers = np.array(texts, float)
    np.testing.assert_allclose(numbers, np.linspace(low, low + span, 5), rtol=0, atol=span / 90)
    assert len({*texts}) == 5


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan]), max_size=20), st.integers(1, 9), st.integers(0, 9))
@examples(60)
def test_a_sheet_has_the_extreme_scores_and_of_equal_ones_the_first(values, top, bottom):
    highest, lowest = extreme_rows(np.array(values, float), top, bottom)
    rows = [row for row, value in enumerate(values) if not np.isnan(value)]
    assert highest == sorted(rows, key=lambda row: (-values[row], row))[:top]
    rest = [row for row in rows if row not in highest]
    assert lowest == sorted(rest, key=lambda row: (values[row], row))[:bottom]


@pytest.mark.parametrize(("encode", "height"), [(encode_png, 1_000_001), (encode_jpeg, 70_000)])
def test_a_picture_that_its_format_cannot_hold_is_one_sentence(encode, height):
    with pytest.raises(UnwritableOutput, match=f"cannot hold a picture of 1 × {height} px"):
        encode(np.zeros((height, 1), np.uint8))
    assert encode(np.zeros((900, 1), np.uint8))


def test_numbers_have_four_digits_where_these_are_enough():
    assert [text for _, text in ColourScale(0, 1).ticks()] == ["0", "0.25", "0.5", "0.75", "1"]
    assert [text for _, text in ColourScale(-3.4e38, 1).ticks()][::4] == ["-3.4e+38", "1"]
    assert as_texts([12345, 12345.25, 12346]) == ["12345", "12345.25", "12346"]
    assert as_texts([1 / 3, 2 / 3]) == ["0.3333", "0.6667"]
    assert as_texts([12345.6]) == ["12345.6"]
    assert as_texts([]) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"colour_map": "zzz"}, "'zzz' is no colour map; give one of viridis"),
        ({"limits": (1, 0)}, "limits 1 0: give the lower first"),
        ({"limits": (1, 1)}, "limits 1 1: give the lower first"),
        ({"limits": (np.nan, 1)}, "limits nan 1: give numbers"),
        ({"limits": (0, np.nan)}, "limits 0 nan: give numbers"),
        ({"limits": (0, np.inf)}, "limits 0 inf: give numbers"),
        ({"limits": (-1e300, 1e300)}, "give numbers from -3.4e\\+38"),
        ({"limits": (1,)}, "give two numbers"),
        ({"limits": ("a", "b")}, "give two numbers"),
        ({"percentiles": (99, 1)}, "percentiles 99 1: give the lower first"),
        ({"percentiles": (0, 200)}, "percentiles 0 200: give numbers from 0 to 100"),
        ({"percentiles": (0, np.nan)}, "percentiles 0 nan: give numbers from 0 to 100"),
    ],
)
def test_colours_that_cannot_be_are_refused(words, why):
    heat = HeatMap(np.array([[0, 1]], np.float32), (1, 1))
    with pytest.raises(InvalidScores, match=why):
        heat.rgba(**words)


def test_the_largest_scores_that_there_are_have_colours():
    scores = np.array([-1.7e308, 0, 1.7e308])
    with np.errstate(all="raise", under="ignore"):
        scale = colour_scale(scores)
        assert [name for name, _ in scale.classes(scores, "p")] == ["p 1 of 8", "p 5 of 8", "p 8 of 8"]


def test_beyond_the_range_colours_are_those_of_the_ends_and_blank_is_transparent():
    heat = HeatMap(np.array([[-5, 0, 1, 9, np.nan]], np.float32), (1, 1))
    rgba = heat.rgba("viridis", limits=(0, 1))
    assert rgba[0, :, 3].tolist() == [255, 255, 255, 255, 0]
    assert (rgba[0, 0] == rgba[0, 1]).all()
    assert (rgba[0, 2] == rgba[0, 3]).all()
    assert rgba[0, 0, :3].tolist() == [68, 1, 84]  # viridis begins so
    assert ColourScale(0, 1, "viridis").table()[-1].tolist() == [253, 231, 37]


def test_coolwarm_has_the_colours_that_its_paper_lists():
    assert np.abs(coolwarm(33).astype(int) - COOLWARM).max() <= 1
    assert ColourScale(0, 1, "coolwarm").table()[[0, -1]].tolist() == [[59, 76, 192], [180, 4, 38]]
    red_less_blue = np.diff(coolwarm(256).astype(int), axis=0) @ (1, 0, -1)
    assert red_less_blue[40:-40].min() >= 0


def test_a_long_title_of_a_legend_is_broken_between_words_above_the_bar():
    scale = ColourScale(0, 1)

    def bar_top(title: str) -> int:
        """Return the first row that has one of the last colours of the bar."""
        legend = with_legend(np.full((500, 100, 3), 255, np.uint8), scale, title)[:, 100:]
        last = {tuple(colour) for colour in scale.table()[-8:].tolist()}
        return [tuple(colour) in last for colour in legend[:, 12].tolist()].index(True)

    tops = [bar_top(title) for title in ("p", "of-one-word " * 2, "of-many-words " * 9)]
    assert tops[0] < tops[1] < tops[2] < 60


def test_where_nothing_has_a_score_a_range_is_needed():
    with pytest.raises(InvalidScores, match="no patch has a score"):
        colour_scale(np.array([np.nan]))
    assert colour_scale(np.array([np.nan]), limits=(0, 1)).high == 1

"""Scores that Python gives are of the patches that they say, whatever holds them, or are refused in a sentence."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exporting import make, paint, recipe_of
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

import atlaspatch_core as ap
from atlaspatch_core.errors import InvalidScores

COUNT = 7


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> ap.Results:
    folder = tmp_path_factory.mktemp("lab")
    recipe = recipe_of(folder, geometry={"patch_encoders": [], "slide_encoders": []})
    make(recipe, [paint(folder, "a", COUNT)])
    return ap.results(folder / "out")


def drawn(read: ap.Results, scores: object, **more: object) -> np.ndarray:
    return ap.heat_map(read, "a", scores, longest=64, **more).values


def written(folder: Path, suffix: str, frame: pd.DataFrame) -> Path:
    path = folder / f"scores{suffix}"
    (frame.to_csv if suffix == ".csv" else frame.to_parquet)(path)
    return path


FORMS = {
    "frame": lambda frame, _: frame,
    "csv": lambda frame, folder: written(folder, ".csv", frame),
    "parquet": lambda frame, folder: written(folder, ".parquet", frame),
    "column": lambda frame, _: frame.p,
    "column without a name": lambda frame, _: frame.p.rename(None),
    "column by place": lambda frame, _: frame.set_index(["x", "y"]).p,
    "frame by place": lambda frame, _: frame.set_index(["x", "y"]),
    "frame by place and row": lambda frame, _: frame.assign(row=frame.index).set_index(["x", "row"]),
}


@given(
    scores=st.lists(st.floats(-9, 9), min_size=COUNT, max_size=COUNT),
    order=st.permutations(range(COUNT)),
    count=st.integers(1, COUNT),
    form=st.sampled_from([*FORMS]),
    places=st.booleans(),
)
@examples(80)
def test_a_table_is_of_the_rows_that_its_index_says(tmp_path_factory, read, scores, order, count, form, places):
    frame = pd.DataFrame({"p": scores})
    if places or "place" in form:
        frame["x"], frame["y"] = read.coords("a").T
    some = frame.iloc[list(order)[:count]]
    wanted = np.where(np.isin(range(COUNT), list(order)[:count]), scores, np.nan)
    given_scores = FORMS[form](some, tmp_path_factory.mktemp("scores"))
    np.testing.assert_array_equal(drawn(read, given_scores), drawn(read, wanted))


@given(mask=st.lists(st.booleans(), min_size=COUNT, max_size=COUNT).filter(lambda mask: not all(mask)))
@examples(20)
def test_what_is_masked_or_missing_has_no_score(read, mask):
    scores = np.arange(COUNT)
    wanted = drawn(read, np.where(mask, np.nan, scores))
    missing = [pd.NA if is_masked else Decimal(int(score)) for score, is_masked in zip(scores, mask, strict=True)]
    frame = pd.DataFrame({"p": pd.Series(missing, dtype=object)})
    for given_scores in (np.ma.array(scores, mask=mask), frame, np.array(missing, object)):
        np.testing.assert_array_equal(drawn(read, given_scores), wanted)


@pytest.mark.parametrize("shape", [(COUNT,), (1, COUNT), (COUNT, 1), (1, COUNT, 1)])
def test_axes_of_length_one_are_none(read, shape):
    scores = np.arange(COUNT)
    np.testing.assert_array_equal(drawn(read, scores.reshape(shape)), drawn(read, scores))


def test_a_column_is_named_by_its_number_too(read):
    scores = np.arange(2 * COUNT).reshape(COUNT, 2)
    for column in (1, "1"):
        np.testing.assert_array_equal(drawn(read, scores, column=column), drawn(read, scores[:, 1]))


P = np.arange(COUNT)


@pytest.mark.parametrize(
    ("scores", "more", "why"),
    [
        (P, {"longest": 0}, "longest=0 is no length of a picture; give a whole number of px from 1 on"),
        (P, {"longest": -5}, "longest=-5 is no length"),
        (P, {"longest": 64.5}, "longest=64.5 is no length"),
        (P, {"smooth": -1}, "smooth=-1 is no width of a Gaussian; give a number from 0 on"),
        (P, {"smooth": float("nan")}, "smooth=nan is no width"),
        (P, {"smooth": float("inf")}, "smooth=inf is no width"),
        (P, {"head": 0}, "a: head=0 is of attention; give column"),
        (None, {"attention": "feather", "column": "p"}, "a: column='p' is of scores; give head"),
        (P + 1j, {}, r"column score: 1j is no number"),
        ([[1], [2, 3]], {}, "the scores are no array"),
        (np.full(COUNT, np.nan), {}, "the scores, column score: none of 7 rows has a number"),
        (pd.DataFrame(np.ones((COUNT, 2)), columns=["p", "p"]), {}, "two are called 'p'; give one another name"),
        (pd.DataFrame({"x": P, "p": P}).set_index("x", drop=False), {}, "two are called 'x'"),
        (pd.DataFrame({"p": [np.ones((9, 9))] * COUNT}), {}, "is no number; leave the cell empty"),
        (pd.DataFrame({"p": P}, index=P + 1), {}, r"column without a name: 7 is .*reset_index\(drop=True\)"),
        (pd.DataFrame({"p": P.astype(str)}).replace("1", "1,5"), {}, "'1,5' is no number; write a decimal point"),
        (pd.DataFrame({"p": P, "stem": "b"}), {}, "a: the scores, column stem, names b; name a row by"),
        ("no/such.csv", {}, r"no/such.csv: no file of scores is there; correct the path"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_in_a_sentence(read, scores, more, why):
    with pytest.raises(InvalidScores, match=why) as caught:
        ap.heat_map(read, "a", scores, **{"longest": 64, **more})
    assert "\n" not in str(caught.value)

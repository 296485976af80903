"""``ap.BagDataset``: slides with a label as bags for torch, and every slide that is none with its reason."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import PATCHES, encode_cohort
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples
from torch.utils.data import DataLoader

import atlaspatch_core as ap
from atlaspatch_core.errors import InvalidLabels

WITH_PATCHES = tuple(stem for stem, patches in PATCHES.items() if patches)
LABELS = pd.DataFrame(
    {"stem": WITH_PATCHES, "label": ["tumour", "normal", "tumour", "normal"], "patient": list("ppqr")}
)
pytestmark = pytest.mark.filterwarnings("ignore::atlaspatch_core.api.embedding_tables.ResultsWarning")


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    return encode_cohort(tmp_path_factory.mktemp("cohort"))


def test_workers_of_a_loader_give_the_features_that_results_give(output):
    bags = ap.BagDataset(output, "tiny", labels=LABELS, coords=True)
    cohort = ap.results(output)

    items = list(DataLoader(bags, batch_size=None, num_workers=2))  # type: ignore[arg-type]

    assert [item.stem for item in items] == list(bags.stems) == list(WITH_PATCHES)
    for item in items:
        assert np.array_equal(item.features.numpy(), cohort.features(item.stem, "tiny"))
        assert np.array_equal(item.coords.numpy(), cohort.coords(item.stem))
    assert [bags.classes[item.label] for item in items] == list(LABELS.label)
    assert bags.left_out.keys() == {"none"}


def test_features_of_several_encoders_lie_side_by_side(output):
    bags, cohort = ap.BagDataset(output, ["tiny", "other"], labels=LABELS), ap.results(output)
    both = [cohort.features("a", encoder) for encoder in ("tiny", "other")]
    assert np.array_equal(bags[0].features.numpy(), np.concatenate(both, axis=1))
    assert bags.dim == bags[0].features.shape[1]


def test_patches_that_are_drawn_are_rows_of_the_slide_and_others_in_each_epoch(output):
    bags, whole = ap.BagDataset(output, "tiny", labels=LABELS, max_patches=2, coords=True), ap.results(output)
    drawn = set()
    for epoch in range(6):
        bags.set_epoch(epoch)
        features, _, stem, places = bags[0]
        of_place = dict(zip(map(tuple, whole.coords(stem).tolist()), whole.features(stem, "tiny"), strict=True))
        assert np.array_equal([of_place[tuple(place)] for place in places.tolist()], features.numpy())
        drawn.add(str(places.tolist()))
    assert len(features) == 2
    assert len(drawn) > 1


@given(seed=st.integers(0, 99), train=st.floats(0.1, 0.9))
@examples(12)
def test_shares_keep_patients_together_and_parts_apart(output, seed, train):
    parts, folds = {}, {"train": train, "test": 1 - train}
    for part in folds:
        with suppress(InvalidLabels):  # a part that no patient is in
            parts[part] = set(ap.BagDataset(output, "tiny", labels=LABELS, folds=folds, split=part, seed=seed).stems)
    assert set.union(*parts.values()) == set(WITH_PATCHES)
    assert sum(map(len, parts.values())) == len(WITH_PATCHES)
    assert all(("a" in stems) == ("b" in stems) for stems in parts.values())


def test_a_table_of_splits_in_clams_layout_says_the_part(output, tmp_path):
    (tmp_path / "splits_0.csv").write_text(",train,val,test\n0,a,b,c\n1,d,,\n")
    stems = {
        part: ap.BagDataset(output, "tiny", labels=LABELS, folds=tmp_path / "splits_0.csv", split=part).stems
        for part in ("train", "val", "test")
    }
    assert stems == {"train": ("a", "d"), "val": ("b",), "test": ("c",)}


def test_what_is_stale_or_unlabelled_is_left_out_and_said(output):
    outlines = output / "contours_geojson" / "b.geojson"
    before = outlines.read_text()
    try:
        outlines.write_text(before.replace("256", "300"))
        with pytest.warns(ap.ResultsWarning, match="left out: "):
            bags = ap.BagDataset(output, "tiny", labels=LABELS[LABELS.stem != "c"])
    finally:
        outlines.write_text(before)
    assert bags.stems == ("a", "d")
    assert {stem: why.split(" (")[0] for stem, why in bags.left_out.items()} == {
        "b": "patch_features/tiny is stale",
        "c": "has no row",
        "none": "has no row",
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"label": "grade"}, "there is no column grade, there are stem, label, patient"),
        ({"split": "dev"}, "no column says the split"),
        ({"max_patches": 0}, "max_patches=0: give a whole number above 0"),
        ({"folds": {"train": 0.8, "test": 0.4}}, "shares are above 0 and at most 1 together; they make 1.2"),
        ({"folds": "splits.csv"}, "is neither a file nor a column"),
    ],
)
def test_a_wrong_option_is_one_sentence(output, options, sentence):
    with pytest.raises(InvalidLabels, match=sentence):
        ap.BagDataset(output, "tiny", labels=LABELS, **options)

"""``ap.BagDataset``: slides with a label each, as torch reads them; what cannot be used is left out, and named."""

import pickle
import shutil
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import PATCHES, encode_cohort
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

import atlaspatch_core as ap
from atlaspatch_core.errors import InvalidLabels

LABELS = pd.DataFrame(
    {
        "slide_id": ["a.svs", "b.svs", "c.svs", "d.svs"],
        "patient": ["p", "p", "q", "r"],
        "label": ["tumour", "normal", "tumour", None],
        "fold": [0, 0, 1, 1],
    }
)
USABLE = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    return encode_cohort(tmp_path_factory.mktemp("bags"))


@pytest.fixture(scope="module")
def cohort(output) -> ap.Results:
    return ap.results(output)


def bags(*arguments, **options) -> ap.BagDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ap.ResultsWarning)
        return ap.BagDataset(*arguments, **options)


@pytest.mark.quick
def test_an_item_is_features_label_and_stem(cohort):
    dataset = bags(cohort, "tiny", labels=LABELS, coords=True)

    assert (dataset.stems, dataset.labels, dataset.classes) == (("a", "b", "c"), (1, 0, 1), ("normal", "tumour"))
    for bag in dataset:
        assert np.array_equal(bag.features.numpy(), cohort.features(bag.stem, "tiny"))
        assert np.array_equal(bag.coords.numpy(), cohort.coords(bag.stem))
    assert bags(cohort, ["tiny", "other"], labels=LABELS).dim == 6


def test_what_is_left_out_is_named_with_its_reason_and_said_once(output, tmp_path):
    own = shutil.copytree(output, tmp_path / "out")
    path = own / "contours_geojson" / "b.geojson"
    path.write_text(path.read_text().replace("256", "250"))
    more = pd.concat([LABELS, pd.DataFrame({"slide_id": ["gone.svs", "none"], "label": ["normal"] * 2})])

    with pytest.warns(ap.ResultsWarning, match=r"left out: 2 not usable \(b: patch_features/tiny is stale") as caught:
        dataset = ap.BagDataset(own, "tiny", labels=more)

    assert len(caught) == 1
    assert dataset.stems == ("a", "c")
    assert dataset.left_out["b"].startswith("patch_features/tiny is stale (upstream changed: ")
    assert {name: why for name, why in dataset.left_out.items() if name != "b"} == {
        "none": "has no patches",
        "d": "has no class in column label",
        "gone.svs": f"nothing of it lies in {own}",
    }
    assert bags(own, "tiny", labels=more, include_stale=True).stems == ("a", "b", "c")


def test_workers_read_what_the_process_itself_reads(cohort):
    from torch.utils.data import DataLoader

    dataset = bags(cohort, "tiny", labels=LABELS)
    items = list(DataLoader(dataset, batch_size=None, num_workers=2))

    assert [item.stem for item in items] == list(dataset.stems)
    assert all(bool((item.features == own.features).all()) for item, own in zip(items, dataset, strict=True))
    assert [item.features.shape[0] for item in DataLoader(dataset)] == [1, 1, 1], "a batch of one slide"
    assert pickle.loads(pickle.dumps(dataset)).stems == dataset.stems


def test_making_a_dataset_imports_no_torch(output, tmp_path):
    LABELS.to_csv(tmp_path / "labels.csv", index=False)
    script = "import sys, atlaspatch_core as ap; d = ap.BagDataset(*sys.argv[1:3], labels=sys.argv[3]); "
    words = [sys.executable, "-W", "ignore", "-c", f"{script}print(len(d), 'torch' in sys.modules)"]
    told = subprocess.check_output([*words, str(output), "tiny", str(tmp_path / "labels.csv")], text=True)
    assert told.split() == ["3", "False"]


@given(most=st.integers(1, 6), seed=st.integers(0, 5), epochs=st.lists(st.integers(0, 9), min_size=2, max_size=2))
@examples(10)
def test_a_sample_has_patches_of_the_slide_in_their_order(cohort, most, seed, epochs):
    dataset = bags(cohort, "tiny", labels=LABELS, max_patches=most, seed=seed, coords=True)
    samples = []
    for epoch in (*epochs, epochs[0]):
        dataset.set_epoch(epoch)
        samples.append([dataset[place].coords.tolist() for place in range(len(dataset))])

    assert samples[0] == samples[2], "the same seed and epoch draw the same"
    for stem, places in zip(dataset.stems, samples[0], strict=True):
        every = cohort.coords(stem).tolist()
        assert len(places) == min(most, PATCHES[stem])
        assert places == [place for place in every if place in places]


def test_a_split_is_a_column_a_table_of_splits_or_both_by_cases(cohort, tmp_path):
    labels = LABELS.fillna("normal")
    assert [bags(cohort, "tiny", labels=labels, split=fold).stems for fold in (0, 1)] == [("a", "b"), ("c", "d")]
    assert bags(cohort, "tiny", labels=labels, split=[0, 1]).stems == USABLE

    clam, flags = tmp_path / "splits_0.csv", tmp_path / "splits_0_bool.csv"
    clam.write_text(",train,val,test\n0,a,c,d\n1,b,,\n")
    flags.write_text(
        ",train,val,test\na,True,False,False\nb,True,False,False\nc,False,True,False\nd,False,False,True\n"
    )
    rows = pd.DataFrame({"stem": list("abcd"), "set": ["train", "train", "val", "test"]})
    for folds in (clam, flags, rows):
        parts = {part: bags(cohort, "tiny", labels=labels, split=part, folds=folds).stems for part in ("train", "val")}
        assert parts == {"train": ("a", "b"), "val": ("c",)}


def test_patients_that_are_in_two_splits_are_warned_of(cohort):
    folds = pd.DataFrame({"train": ["a", "c"], "val": ["b", "d"]})
    with pytest.warns(ap.ResultsWarning, match=r"slides of 1 patients are in several splits \(p\)"):
        ap.BagDataset(cohort, "tiny", labels=LABELS.fillna("normal"), split="train", folds=folds)


@given(seed=st.integers(0, 50), train=st.sampled_from([0.34, 0.5, 0.67]))
@examples(10)
def test_drawn_splits_keep_patients_together_and_lose_no_slide(cohort, seed, train):
    labels = LABELS.fillna("normal")
    folds, stems = {"train": train, "test": 1 - train}, []
    for part in folds:
        with suppress(InvalidLabels):  # a part that no patient is in
            dataset = bags(cohort, "tiny", labels=labels, split=part, folds=folds, seed=seed)
            assert ("a" in dataset.stems) == ("b" in dataset.stems)
            stems += dataset.stems
    assert sorted(stems) == list(USABLE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label": "grade"}, "there is no column grade, there are slide_id, patient, label, fold"),
        ({"split": "train"}, "there is no split train; there is 0, 1"),
        ({"split": "a", "folds": "nothing.csv"}, "'nothing.csv' is neither a file nor a column of the table of labels"),
        ({"folds": {"train": 0.8, "test": 0.8}}, "at most 1 together; they make 1.6"),
        ({"classes": ["benign"]}, "no slide of it can be a bag"),
        ({"max_patches": 0}, "max_patches=0: give a whole number above 0"),
        ({"folds": pd.DataFrame({"train": ["a"], "test": ["a"]})}, "a is in train and in test; leave it in one"),
        ({"labels": LABELS.assign(label=0.5)}, "column label has 0.5; classes are words or whole numbers"),
        ({"on": "nothing"}, "there is no column nothing"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_there_is(cohort, options, words):
    with pytest.raises(InvalidLabels) as caught:
        bags(cohort, "tiny", **({"labels": LABELS} | options))
    assert words in str(caught.value)

"""Networks that see the same patches get streams of their own where a trial found that quicker; features stay."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from exact_encoders import SMALLER, Digest, Greedy, Wary, exact_encoder, patches
from hypothesis import given
from hypothesis import strategies as st
from recording_device import RecordingDevice
from rounds import examples

from atlaspatch_core.encoders import stream_choice
from atlaspatch_core.encoders.accelerator import ImmediateDevice
from atlaspatch_core.encoders.patch_encoders import PatchEncoders
from atlaspatch_core.encoders.weights import cache_folder

FEW = 3
"""Batches after which it is tried here."""


@pytest.fixture(autouse=True)
def trials(tmp_path, monkeypatch) -> Path:
    """Let it be tried soon, and return the folder where it is remembered."""
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path))
    monkeypatch.setattr(stream_choice, "TRY_AFTER", FEW)
    return tmp_path / "speed"


def computing(device: RecordingDevice, batch: PatchEncoders) -> int:
    """Return on how many streams the networks compute a batch."""
    begun = len(device.events)
    batch.encode(patches(4, 0))
    events = [event for event in device.events[begun:] if event.after]
    return len({event.stream for event in events if event.after[0].number == begun + 1})


@examples(60)
@given(
    kinds=st.lists(
        st.tuples(st.sampled_from([Digest, Wary]), st.integers(0, 2), st.sampled_from([SMALLER])),
        min_size=1, max_size=3, unique=True,
    ),
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=3 * FEW),
    haste=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**20),
)  # fmt: skip
def test_features_are_the_same_before_during_and_after_the_trial(kinds, counts, haste, seed):
    trials = cache_folder() / "speed"
    for file in trials.glob("*"):
        file.unlink()
    encoders = [exact_encoder(*kind) for kind in kinds]
    plain = PatchEncoders(encoders, ImmediateDevice(encoders[0].device))
    together = PatchEncoders(encoders, RecordingDevice(3, Random(seed), haste))
    batches = [patches(count, seed + number) for number, count in enumerate(counts)]
    submissions = [together.submit(batch) for batch in batches]
    for batch, submission in zip(batches, submissions, strict=True):
        assert all(map(np.array_equal, submission.features(), plain.encode(batch)))
    due = any(count == max(*counts[: number + 1], 1) for number, count in enumerate(counts) if number >= FEW)
    assert len([*trials.glob("*")]) == (len(kinds) > 1 and due)


@pytest.mark.parametrize(("times_as_fast", "streams"), [(2.0, 2), (stream_choice.AT_LEAST, 2), (1.0, 1), (0.0, 1)])
def test_what_was_found_is_remembered_by_networks_and_machine(trials, times_as_fast: float, streams: int):
    encoders = [exact_encoder(Digest), exact_encoder(Digest, 1)]
    device = RecordingDevice()
    together = PatchEncoders(encoders, device)
    assert [computing(device, together) for _ in range(FEW)] == [1] * FEW
    together.encode(patches(4, 0))
    (memo,) = trials.glob("*")
    memo.write_text(json.dumps(json.loads(memo.read_text()) | {"times_as_fast": times_as_fast}))
    device = RecordingDevice()
    again = PatchEncoders(encoders, device)
    assert [computing(device, again) for _ in range(2 * FEW)] == [streams] * 2 * FEW
    assert [*trials.glob("*")] == [memo]
    others = PatchEncoders([exact_encoder(Digest), exact_encoder(Digest, 2)], device)
    assert computing(device, others) == 1


def test_one_network_and_a_device_of_one_slot_try_nothing(trials):
    pair = [exact_encoder(Digest), exact_encoder(Digest, 1)]
    for encoders, device in ((pair[:1], RecordingDevice()), (pair, ImmediateDevice(pair[0].device))):
        together = PatchEncoders(encoders, device)
        for seed in range(2 * FEW):
            together.encode(patches(4, seed))
    assert not trials.exists()


def test_a_trial_that_memory_is_short_for_leaves_one_stream(trials):
    encoders = [exact_encoder(Digest), exact_encoder(Greedy)]
    device = RecordingDevice(haste=1.0)
    together = PatchEncoders(encoders, device)
    for seed in range(FEW):
        together.encode(patches(2, seed))
    given = patches(9, 0)
    found = together.encode(given)
    assert np.array_equal(found[0], encoders[0].encode(given))
    assert [json.loads(file.read_text())["times_as_fast"] for file in trials.glob("*")] == [0.0]
    assert device.is_idle

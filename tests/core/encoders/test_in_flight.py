"""Batches under way on a device that does its work late and in any order: the same features as at once, in order."""

from collections.abc import Sequence
from functools import lru_cache
from random import Random

import numpy as np
import pytest
import torch
from exact_encoders import SMALLER, UNIT, Digest, Faulty, Greedy, Wary, bad, exact_encoder, patches
from hypothesis import given
from hypothesis import strategies as st
from recording_device import RecordingDevice
from rounds import examples

from atlaspatch_core.encoders.accelerator import ImmediateDevice, accelerator_of
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.model_cache import MODELS
from atlaspatch_core.encoders.patch_encoders import PatchEncoders, Submission
from atlaspatch_core.errors import NotFinite

pytestmark = pytest.mark.quick

Settings = tuple[int, bool, float, int]
HASTE = [0.0, 0.2, 0.7]

encoder = lru_cache(exact_encoder)


def fate(features) -> object:
    """Return what features are, or what they raise, so that two can be compared."""
    try:
        return [values.tobytes() for values in features()]
    except Exception as error:
        return repr(error)


def under_way(encoders: PatchEncoders, batches: Sequence[np.ndarray], chance: Random) -> list[object]:
    """Return the fates of batches that are sent one after the other, and collected by chance in between."""
    fates: dict[int, object] = {}
    waiting: dict[int, Submission] = {}
    for number, batch in enumerate(batches):
        try:
            waiting[number] = encoders.submit(batch)
        except Exception as error:
            fates[number] = repr(error)
        if waiting and chance.random() < 0.4:
            which = chance.choice(list(waiting))
            if waiting[which].is_done() or chance.random() < 0.3:
                fates[which] = fate(waiting.pop(which).features)
    fates |= {number: fate(submission.features) for number, submission in waiting.items()}
    return [fates[number] for number in range(len(batches))]


@st.composite
def ways(draw: st.DrawFn, *networks: type[Digest]) -> tuple[list[LoadedPatchEncoder], list[np.ndarray], Settings]:
    """Return encoders, batches of which some fail, and slots, whether networks have own streams, haste and seed."""
    kinds = st.tuples(st.sampled_from(networks), st.integers(0, 2), st.sampled_from([UNIT, SMALLER]))
    encoders = [encoder(*kind) for kind in draw(st.lists(kinds, min_size=1, max_size=4, unique=True))]
    sizes = draw(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12))
    seed = draw(st.integers(0, 2**20))
    batches = [patches(count, seed + number) for number, (count, _) in enumerate(sizes)]
    for batch, (count, fails) in zip(batches, sizes, strict=True):
        if count and fails:
            bad(batch)
    return encoders, batches, (draw(st.integers(1, 4)), draw(st.booleans()), draw(st.sampled_from(HASTE)), seed)


def check_way(way: tuple[list[LoadedPatchEncoder], list[np.ndarray], Settings]) -> None:
    """Assert that batches under way have the fates that they have on the plain path."""
    encoders, batches, (slots, own_streams, haste, seed) = way
    device = RecordingDevice(slots, Random(seed), haste)
    together = PatchEncoders(encoders, device, own_streams=own_streams)
    fates = under_way(together, batches, Random(seed + 1))
    assert fates == [expected(encoders, batch) for batch in batches]
    assert device.is_idle


@examples(200)
@given(way=ways(Digest, Wary, Faulty))
def test_features_are_those_of_the_plain_path_bit_for_bit(way):
    """Whatever the order of the device, the size of batches and of the ring, and where it fails."""
    check_way(way)


@examples(60)
@given(way=ways(Digest, Wary, Faulty, Greedy))
def test_features_are_those_of_the_plain_path_where_memory_runs_out(way):
    MODELS.release_idle()
    check_way(way)


def expected(encoders: Sequence[LoadedPatchEncoder], batch: np.ndarray) -> object:
    plain = PatchEncoders(encoders, ImmediateDevice(encoders[0].device))
    return fate(lambda: plain.encode(batch))


def test_the_host_waits_only_where_the_ring_is_full():
    device = RecordingDevice(slots=3)
    encoders = PatchEncoders([encoder(Digest), encoder(Digest, 1, SMALLER)], device)
    submissions = [encoders.submit(patches(4, seed)) for seed in range(3)]
    assert (device.record, device.waits) == ([], [])
    assert not any(submission.is_done() for submission in submissions)
    events_of_a_batch = len(device.events) // 3
    encoders.submit(patches(4, 3))
    assert 0 <= max(device.waits) < events_of_a_batch
    assert submissions[0].is_done()


def test_the_ring_is_made_once_and_encoders_share_one_copy_of_the_pixels():
    device = RecordingDevice(slots=2)
    encoders = PatchEncoders([encoder(Digest), encoder(Digest, 1)], device)
    for seed in range(6):
        encoders.encode(patches(5 + seed % 4, seed))
    assert len(device.rings) == 2 * 3  # pixels, and features of two encoders, by two slots
    copies = [line for line in device.record if line.startswith("up")]
    assert copies == ["up <- ring 0", "up <- ring 3"] * 3
    assert sorted(device.record[-2:]) == ["down -> ring 4", "down -> ring 5"]


def test_pixels_are_preprocessed_once_for_all_encoders_of_a_transform():
    device = RecordingDevice()
    encoders = PatchEncoders([encoder(Digest), encoder(Digest, 1), encoder(Digest, 2, SMALLER)], device)
    encoders.submit(patches(4, 0))
    assert len(device.events) == 1 + 2 + 3 + 3  # up, two transforms, three networks, three times down


def test_the_next_batch_goes_up_before_the_one_before_is_computed():
    device = RecordingDevice()
    encoders = PatchEncoders([encoder(Digest)], device)
    encoders.submit(patches(4, 0))
    encoders.submit(patches(4, 1))
    up = device.events[4]
    assert (up.stream, up.after) == (device.events[0].stream, ())
    assert len({event.stream for event in device.events}) == 3


def test_what_streams_read_is_held_until_the_batch_has_landed():
    """Else the memory would be given to the next batch while another stream still reads it."""
    device = RecordingDevice()
    submission = PatchEncoders([encoder(Digest)], device).submit(patches(4, 0))
    device.do_all()
    assert device.uploaded[0]() is not None
    submission.features()
    assert device.uploaded[0]() is None


def test_networks_have_streams_of_their_own_where_that_is_asked_for():
    device = RecordingDevice()
    PatchEncoders([encoder(Digest), encoder(Digest, 1)], device, own_streams=True).submit(patches(4, 0))
    computing = [event.stream for event in device.events if event.after and event.after[0].number == 1]
    assert len(set(computing)) == 2


def test_a_network_has_one_batch_at_a_time_whatever_stream_it_comes_on():
    """A CUDA graph has memory of its own, which two batches at a time would both write."""
    device, one, other = RecordingDevice(), encoder(Digest), encoder(Digest, 1)
    PatchEncoders([one, other], device, own_streams=True).submit(patches(4, 0))
    PatchEncoders([one], device, own_streams=False).submit(patches(4, 0, side=9))
    first, second = [event for event in device.events if event.after and event.after[0].number in (1, 7)][::2]
    assert first.stream != second.stream
    assert second.behind == (first,)
    same = accelerator_of(torch.device("cpu"))
    assert accelerator_of(torch.device("cpu")) is same


def test_a_stream_of_batches_is_handed_out_in_order_while_later_ones_are_under_way():
    device = RecordingDevice(slots=2)
    encoders = PatchEncoders([encoder(Digest)], device)
    batches = {label: patches(3, seed) for seed, label in enumerate("abcdef")}
    sent: list[str] = []

    def read_batches():
        for label, batch in batches.items():
            sent.append(label)
            yield label, batch

    stream = encoders.encode_stream(read_batches())
    found = {label: (values.tobytes(), len(sent)) for label, (values,) in stream}
    assert list(found) == list("abcdef")
    assert [count for _, count in found.values()] == [3, 4, 5, 6, 6, 6]
    assert [values for values, _ in found.values()] == [encoder(Digest).encode(b).tobytes() for b in batches.values()]


def test_memory_that_runs_out_late_halves_what_is_sent_from_there_on(caplog: pytest.LogCaptureFixture):
    MODELS.release_idle()
    device = RecordingDevice()
    encoders = PatchEncoders([encoder(Greedy)], device)
    first, second = encoders.submit(patches(8, 0)), encoders.submit(patches(8, 1))
    assert [len(values) for values in (*first.features(), *second.features())] == [8, 8]
    assert "out of memory with 8 patches at a time; going on with 4" in caplog.text
    assert "out of memory with 4 patches at a time; going on with 2" in caplog.text
    assert len(encoders.submit(patches(8, 2)).flights) == 4


def test_one_patch_too_many_for_the_memory_is_an_error():
    class Full(Digest):
        def forward(self, pixels):
            if pixels.max() > 0:  # not the blank patch by which the dim is asked for
                raise torch.OutOfMemoryError("no memory at all")
            return super().forward(pixels)

    submission = PatchEncoders([exact_encoder(Full)], RecordingDevice()).submit(patches(2, 0))
    with pytest.raises(torch.OutOfMemoryError, match="no memory at all"):
        submission.features()


@pytest.mark.parametrize(("network", "error"), [(Wary, NotFinite), (Faulty, RuntimeError)])
def test_a_batch_that_fails_lets_those_before_and_after_it_pass(network, error):
    encoders = PatchEncoders([encoder(Digest), encoder(network)], RecordingDevice())
    before, failing, after = [encoders.submit(batch) for batch in (patches(4, 0), bad(patches(4, 1)), patches(4, 2))]
    assert len(after.features()[0]) == 4
    with pytest.raises(error):
        failing.features()
    assert len(before.features()[1]) == 4


def test_encoders_of_no_device_are_refused():
    with pytest.raises(ValueError, match="on one device, not on none"):
        PatchEncoders([])

"""auto finds the smallest batch that is about as quick as any, and has memory enough."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.batch_search import FIRST, MOST, NEAR, best_size, next_size, search
from atlaspatch_core.encoders.batch_size import MOST_BYTES, USUAL, batch_size_of, rate_of
from atlaspatch_core.encoders.declaration import HALF, PatchEncoder, Transform
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.micro_batches import MICRO_BATCH
from atlaspatch_core.encoders.weights import BuiltIn

RATE = st.floats(1, 1e6)
SIZES = [2**power for power in range(13)]


def searched(rate: Callable[[int], float | None]) -> tuple[int, dict[int, float | None]]:
    """Return the size that the search gives, and what it measured."""
    measured: dict[int, float | None] = {}

    def measure(size: int) -> float | None:
        assert size not in measured
        measured[size] = rate(size)
        return measured[size]

    return search(measure), measured


def within(memory: int, rate: Callable[[int], float]) -> Callable[[int], float | None]:
    return lambda size: rate(size) if size <= memory else None


@given(st.lists(RATE, min_size=13, max_size=13), st.sampled_from([0, *SIZES]))
def test_the_smallest_batch_near_the_best_of_those_measured_is_taken(rates: list[float], memory: int):
    size, measured = searched(within(memory, dict(zip(SIZES, rates, strict=True)).__getitem__))
    fitting = {count: rate for count, rate in measured.items() if rate is not None}
    if not fitting:
        assert (size, min(measured)) == (1, 1)
        return
    best = max(fitting.values())
    assert fitting[size] >= NEAR * best
    assert all(rate < NEAR * best for count, rate in fitting.items() if count < size)


@given(st.floats(0.01, 1000), st.floats(0.001, 10), st.sampled_from(SIZES))
def test_where_a_start_costs_and_each_patch_too_the_batch_is_near_the_best_there_is(start, patch, memory):
    def rate(size: int) -> float:
        return size / (start + size * patch)

    size, _ = searched(within(memory, rate))
    best = max(rate(count) for count in SIZES if count <= min(memory, MOST))
    assert size <= memory
    assert rate(size) >= NEAR * best * 0.97


@given(st.lists(RATE, min_size=13, max_size=13), st.sampled_from([0, *SIZES]))
def test_a_search_measures_few_sizes_and_ends(rates: list[float], memory: int):
    _, measured = searched(within(memory, dict(zip(SIZES, rates, strict=True)).__getitem__))
    assert len(measured) <= 7
    assert max(measured) <= MOST
    assert next_size(measured) is None


def test_a_rate_that_no_longer_rises_ends_the_search():
    size, measured = searched(lambda _: 100.0)
    assert (size, list(measured)) == (FIRST, [8, 16, 32])


def test_a_size_without_memory_is_the_last_one():
    size, measured = searched(within(40, float))
    assert (size, list(measured)) == (32, [8, 16, 32, 64])


def test_a_device_without_memory_for_the_first_size_is_asked_for_less():
    size, measured = searched(within(3, float))
    assert (size, list(measured)) == (2, [8, 4, 2])


@given(st.dictionaries(st.sampled_from(SIZES), st.one_of(st.none(), RATE)), st.floats(0.1, 10))
def test_the_unit_of_rates_decides_nothing(rates: dict[int, float | None], factor: float):
    scaled = {size: rate and rate * factor for size, rate in rates.items()}
    near_the_edge = any(
        rate and other and abs(rate / other - NEAR) < 1e-9 for rate in rates.values() for other in rates.values()
    )
    assert near_the_edge or best_size(scaled) == best_size(rates)


class Fussy(torch.nn.Module):
    """Has memory for four patches."""

    def forward(self, pixels):
        if len(pixels) > 4:
            raise torch.OutOfMemoryError("no memory")
        return pixels.mean(dim=(2, 3))


def loaded(module: type[torch.nn.Module]) -> LoadedPatchEncoder:
    encoder = PatchEncoder(
        name="toy",
        architecture=Built(module),
        source=BuiltIn(),
        dim=None,
        transform=Transform(None, 16, "bilinear", HALF, HALF),
        license="Apache-2.0",
    )
    return load_patch_encoder(encoder)


def test_what_the_user_states_stays():
    assert batch_size_of(7, [loaded(Fussy)], 256) == 7


def test_auto_on_a_cpu_is_32_or_enough_for_its_threads():
    model, before = loaded(Fussy), torch.get_num_threads()
    assert batch_size_of("auto", [model], 256) == USUAL
    torch.set_num_threads(USUAL)
    try:
        assert batch_size_of("auto", [model], 256) == USUAL * MICRO_BATCH
        assert batch_size_of("auto", [model], 4096) == MOST_BYTES // (3 * 4096**2)
    finally:
        torch.set_num_threads(before)


def test_measuring_tells_a_rate_or_that_memory_is_short():
    model = loaded(Fussy)
    rate = rate_of(model, 4, 16)
    assert rate is not None
    assert rate > 0
    assert rate_of(model, 8, 16) is None
    assert search(lambda count: rate_of(model, count, 16)) <= 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_a_size_found_on_a_gpu_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path))
    model = load_patch_encoder(loaded(Fussy).encoder, device="cuda")
    size = batch_size_of("auto", [model], 256)
    (memo,) = (tmp_path / "batch").iterdir()
    assert memo.read_text() == str(size)

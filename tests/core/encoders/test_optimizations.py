"""A network is made quicker where that pays, and gives the features that its makers' code gives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.autotuning import AutotunedNetwork, Optimization
from atlaspatch_core.encoders.declaration import HALF, PatchEncoder, Transform
from atlaspatch_core.encoders.folding import fold_batch_norms
from atlaspatch_core.encoders.loading import load_patch_encoder
from atlaspatch_core.encoders.micro_batches import MICRO_BATCH, MicroBatches
from atlaspatch_core.encoders.optimizations import Captured
from atlaspatch_core.encoders.running import Pooled
from atlaspatch_core.encoders.speedups import MARGIN, Speedup, remember_speedup, remembered_speedup
from atlaspatch_core.encoders.weights import BuiltIn

SIDE = 16
PIXELS = torch.rand(7, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
FREE = Speedup(seconds=0.0, times_as_fast=100.0)
Network = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path))


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def normed(*norms: torch.nn.Module) -> torch.nn.Module:
    """Return convolutions with norms behind them, whose statistics are not those of a new network."""
    torch.manual_seed(2)
    layers = [(torch.nn.Conv2d(3 if not index else 8, 8, 3), norm) for index, norm in enumerate(norms)]
    for _, norm in layers:
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean, norm.running_var = torch.randn(8), torch.rand(8) + 0.5
            norm.weight, norm.bias = torch.nn.Parameter(torch.randn(8)), torch.nn.Parameter(torch.randn(8))
    flat = [layer for pair in layers for layer in (*pair, torch.nn.ReLU())]
    return torch.nn.Sequential(*flat, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()


def norms_of(network: torch.nn.Module) -> int:
    return sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())


@torch.inference_mode()
def test_batch_norms_go_into_the_convolutions_before_them():
    network = normed(torch.nn.BatchNorm2d(8), torch.nn.BatchNorm2d(8, affine=True))
    expected = network(PIXELS)
    assert fold_batch_norms(network, network, PIXELS, 1e-4) == 2
    assert norms_of(network) == 0
    torch.testing.assert_close(network(PIXELS), expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_activation_of_a_norm_of_timm_stays():
    from timm.layers.norm_act import BatchNormAct2d

    network = normed(BatchNormAct2d(8, act_layer=torch.nn.SiLU))
    expected = network(PIXELS)
    assert fold_batch_norms(network, network, PIXELS, 1e-4) == 1
    torch.testing.assert_close(network(PIXELS), expected, atol=1e-5, rtol=0)


class Branching(torch.nn.Module):
    """Takes what a convolution gives before and behind its norm: a norm that cannot be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3)
        self.norm = torch.nn.BatchNorm2d(8)
        self.norm.running_mean = torch.full((8,), 3.0)

    def forward(self, pixels):
        plain = self.first(pixels)
        return (plain + self.norm(plain)).mean(dim=(2, 3))


class Sharing(Branching):
    """Uses its convolution twice, and its norm once."""

    def forward(self, pixels):
        return (self.norm(self.first(pixels)) + self.first(pixels)).mean(dim=(2, 3))


@pytest.mark.parametrize("build", [Branching, Sharing])
@torch.inference_mode()
def test_a_network_that_would_change_keeps_its_norms_and_its_bits(build):
    network = build().eval()
    expected = network(PIXELS)
    assert fold_batch_norms(network, network, PIXELS, 1e-4) == 0
    assert norms_of(network) == 1
    assert torch.equal(network(PIXELS), expected)


@torch.inference_mode()
def test_features_of_micro_batches_depend_neither_on_threads_nor_on_neighbours():
    micro_batches = MicroBatches(normed(torch.nn.BatchNorm2d(8)))
    with threads(1):
        expected = micro_batches(PIXELS)
    for count in (2, 3):
        with threads(count):
            assert torch.equal(micro_batches(PIXELS), expected)
            assert torch.equal(torch.cat([micro_batches(patch[None]) for patch in PIXELS]), expected)


@torch.inference_mode()
def test_a_network_is_given_micro_batches_of_one_size_by_threads_that_compute_alone():
    calls = []

    def network(pixels):
        calls.append((len(pixels), torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return pixels.mean(dim=(2, 3))

    with threads(2):
        assert MicroBatches(network)(PIXELS).shape == (7, 3)
        assert torch.get_num_threads() == 2
    assert calls == [(MICRO_BATCH, 1, True)] * 4


def test_an_error_of_a_micro_batch_comes_out():
    def network(pixels):
        raise torch.OutOfMemoryError("no memory")

    with threads(2), pytest.raises(torch.OutOfMemoryError):
        MicroBatches(network)(PIXELS)


class Counting:
    """Doubles, and counts its runs; ``work`` multiplications of large matrices make it slow."""

    def __init__(self, work: int = 0, offset: float = 0.0) -> None:
        self.work, self.offset, self.runs = work, offset, 0

    def __call__(self, pixels):
        self.runs += 1
        for _ in range(self.work):
            torch.matmul(torch.ones(300, 300), torch.ones(300, 300))
        return pixels.mean(dim=(2, 3)) * 2 + self.offset


def autotuned(optimized: Network, *, guess: Speedup = FREE, tolerance: float = 0.0, slow: int = 20) -> AutotunedNetwork:
    return AutotunedNetwork(Counting(slow), Optimization("optimized", lambda _: optimized, guess, tolerance), "key")


def test_an_optimization_that_pays_is_taken_and_remembered():
    network = autotuned(optimized := Counting())
    network.expect(1000)
    expected = PIXELS.mean(dim=(2, 3)) * 2
    assert all(torch.equal(network(PIXELS), expected) for _ in range(3))
    assert network.optimized is optimized
    kept = remembered_speedup("key")
    assert kept is not None
    assert kept.times_as_fast > 1


def test_a_run_of_few_patches_pays_for_nothing():
    network = autotuned(optimized := Counting(), guess=Speedup(1000.0, 2.0))
    network.expect(56)
    for _ in range(3):
        network(PIXELS)
    assert (network.optimized, optimized.runs) == (None, 0)


def test_patches_that_nobody_announced_pay_for_nothing():
    network = autotuned(optimized := Counting())
    network(PIXELS)
    assert optimized.runs == 0


def test_an_optimization_of_equal_bits_is_judged_again_when_more_is_to_come():
    network = autotuned(optimized := Counting(), guess=Speedup(1000.0, 2.0))
    network.expect(56)
    network(PIXELS)
    network.expect(10**9)
    network(PIXELS)
    assert network.optimized is optimized


@pytest.mark.parametrize(("offset", "tolerance"), [(1e-6, 0.0), (1e-2, 1e-4), (float("nan"), 1e-4)])
def test_an_optimization_that_gives_other_features_is_tried_once_and_never_again(offset: float, tolerance: float):
    optimized = Counting(offset=offset)
    for runs in (2, 2):  # the second is another process, later
        network = autotuned(optimized, tolerance=tolerance)
        network.expect(1000)
        assert torch.equal(network(PIXELS), PIXELS.mean(dim=(2, 3)) * 2)
        network(PIXELS)
        assert network.optimized is None
        assert optimized.runs == runs


def test_an_optimization_that_cannot_be_made_leaves_the_network_as_it_is():
    def fail(_):
        raise RuntimeError("no graph")

    network = AutotunedNetwork(Counting(), Optimization("optimized", fail, FREE), "key")
    network.expect(1000)
    assert torch.equal(network(PIXELS), PIXELS.mean(dim=(2, 3)) * 2)
    assert remembered_speedup("key") is not None


def test_an_optimization_of_other_bits_gives_all_rows_or_none():
    near = autotuned(Counting(offset=1e-6), tolerance=1e-4)
    near.expect(1000)
    rows = [near(PIXELS) for _ in range(3)]
    assert all(torch.equal(row, PIXELS.mean(dim=(2, 3)) * 2 + 1e-6) for row in rows)
    late = autotuned(optimized := Counting(offset=1e-6), guess=Speedup(1000.0, 2.0), tolerance=1e-4)
    remember_speedup("key", Speedup(1000.0, 2.0))
    late.expect(7)
    late(PIXELS)
    late.expect(10**9)
    late(PIXELS)
    assert optimized.runs == 0


@given(st.integers(0, 10**7), st.floats(0, 10), st.floats(0, 1000), st.floats(0, 10))
def test_what_pays_saves_at_least_twice_its_cost(patches: int, seconds: float, cost: float, ratio: float):
    speedup = Speedup(cost, ratio)
    if speedup.pays(patches, seconds):
        assert patches * seconds - patches * seconds / ratio >= MARGIN * cost * (1 - 1e-9)
        assert speedup.pays(patches * 2, seconds)
        assert speedup.pays(patches, seconds * 2)
        assert Speedup(cost / 2, ratio).pays(patches, seconds)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"seconds": 1}', '{"seconds": NaN, "times_as_fast": 1}', "\x00"])
def test_a_memo_that_cannot_be_read_counts_as_none(tmp_path, text):
    remember_speedup("key", Speedup(1.0, 2.0))
    (memo,) = (tmp_path / "speed").iterdir()
    memo.write_text(text)
    assert remembered_speedup("key") is None


def deep_network() -> torch.nn.Module:
    return normed(*(torch.nn.BatchNorm2d(8) for _ in range(5)))


def encoder(build: Callable[[], torch.nn.Module]) -> PatchEncoder:
    transform = Transform(None, SIDE, "bilinear", HALF, HALF)
    return PatchEncoder(
        name="toy", architecture=Built(build), source=BuiltIn(), dim=None, transform=transform, license="Apache-2.0"
    )


def test_off_runs_the_network_of_its_makers():
    ready = load_patch_encoder(encoder(deep_network), compile="off")
    assert isinstance(ready.forward, Pooled)
    assert norms_of(ready.forward) == 5


@torch.inference_mode()
def test_a_frozen_network_gives_the_bits_of_the_one_in_micro_batches():
    ready = load_patch_encoder(encoder(deep_network))
    assert isinstance(ready.forward, AutotunedNetwork)
    frozen = ready.forward.optimization.make(PIXELS)
    assert torch.equal(frozen(PIXELS), ready.forward(PIXELS))


class Remembering(torch.nn.Module):
    """Keeps what it computes for itself, so that no two threads may run it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.network = deep_network()

    def forward(self, pixels):
        self.features = self.network(pixels)
        return self.features


def test_foreign_code_is_frozen_before_threads_run_it():
    ready = load_patch_encoder(encoder(Remembering))
    assert isinstance(ready.forward, MicroBatches)
    assert isinstance(ready.forward.network, torch.jit.ScriptModule)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
@torch.inference_mode()
def test_a_captured_network_gives_the_bits_of_the_eager_one():
    network, given = deep_network().cuda(), PIXELS.cuda()
    captured = Captured(network, given)
    for pixels in (given, given.flip(0), given[:3]):
        assert torch.equal(captured(pixels), network(pixels))

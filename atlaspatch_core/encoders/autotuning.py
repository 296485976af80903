"""A network that is optimized when the patches to come pay for it. Imports torch."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from atlaspatch_core.encoders.speedups import Speedup, remember_speedup, remembered_speedup
from atlaspatch_core.fingerprint import canonical_json

log = logging.getLogger(__name__)

Network = Callable[[Tensor], Tensor]
FAILURES = (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError, ImportError, OSError)
"""What tracing, capturing and compiling raise for networks that cannot be; out of memory is a RuntimeError."""

ROUNDS = 3
"""In which a network and the optimized one run in turns."""


@dataclass(slots=True)
class Optimization:
    """A way to make a network quicker."""

    name: str
    """For the log, such as ``frozen``."""
    make: Callable[[Tensor], Network]
    """Returns the optimized network, from input such as it will get."""
    guess: Speedup
    """What it costs and brings where nobody has measured it."""
    tolerance: float = 0.0
    """By which its features may differ, of the largest absolute one or of 1; 0: bit for bit the same."""


@dataclass(slots=True)
class AutotunedNetwork:
    """Input (b, 3, h, w) to features (b, dim): runs a network as it is until its optimization pays.

    An optimization is tried on patches of the run. Where it is not quicker, or gives other features, that is
    remembered, and it is not tried again. One that gives the same bits is judged at every batch: where another process
    takes the cores, the rest of the run takes longer, and it may pay now. One that may give other bits is judged at the
    first batch alone, so that no slide has rows of both.
    """

    plain: Network
    optimization: Optimization
    key: str
    """Under which is remembered what it costs and brings: encoder, weights, device, precision, versions."""
    optimized: Network | None = None
    _speedup: Speedup | None = None
    _coming: int = 0
    """Patches that are still to come, as far as it is known."""
    _seconds_per_patch: float | None = None

    def expect(self, patches: int) -> None:
        """Take note that so many patches are to come."""
        self._coming = patches
        if isinstance(self.plain, AutotunedNetwork):
            self.plain.expect(patches)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Run the network."""
        features = self._first(pixels) if self._seconds_per_patch is None else self._next(pixels)
        self._coming = max(0, self._coming - len(pixels))
        return features

    @property
    def speedup(self) -> Speedup:
        """What the optimization costs and brings: measured on this machine, or guessed."""
        if self._speedup is None:
            self._speedup = remembered_speedup(self.key) or self.optimization.guess
        return self._speedup

    def _first(self, pixels: Tensor) -> Tensor:
        """Run the network, and judge by how long it took; the features are those of what runs from now on."""
        if pixels.device.type != "cpu":
            self.plain(pixels)  # the first run on a device takes long: libraries start, and choose their kernels
        features, seconds = _timed(self.plain, pixels)
        self._seconds_per_patch = seconds / len(pixels)
        if self._pays():
            self._try(pixels)
        return self.optimized(pixels) if self.optimized and self.optimization.tolerance else features

    def _next(self, pixels: Tensor) -> Tensor:
        if self.optimized is not None or self.optimization.tolerance:
            return (self.optimized or self.plain)(pixels)
        since = perf_counter()
        features = self.plain(pixels)
        if pixels.device.type == "cpu":  # elsewhere it returns before they are there
            self._seconds_per_patch = (perf_counter() - since) / len(pixels)
        if self._pays():
            self._try(pixels)
        return features

    def _pays(self) -> bool:
        return self.speedup.pays(self._coming, self._seconds_per_patch or 0)

    def _try(self, pixels: Tensor) -> None:
        """Optimize the network, and take that from now on where it proves itself."""
        since = perf_counter()
        optimized, times_as_fast = None, 0.0
        try:
            optimized = self.optimization.make(pixels)
            optimized(pixels)  # the first run is slower
            times_as_fast = self._times_as_fast(optimized, pixels)
        except FAILURES as error:
            log.info("a network cannot be %s, stays as it is: %s", self.optimization.name, error)
        self._speedup = Speedup(perf_counter() - since, times_as_fast)
        remember_speedup(self.key, self._speedup)
        self.optimized = optimized if times_as_fast > 1 else None
        name, seconds = self.optimization.name, self._speedup.seconds
        log.info("%s: %.2f times as fast, tried in %.1f s", name, times_as_fast, seconds)

    def _times_as_fast(self, optimized: Network, pixels: Tensor) -> float:
        """Run both in turns, and return how many times as fast the optimized one is; 0 where features differ."""
        ratios = []
        for _ in range(ROUNDS):
            expected, slow_seconds = _timed(self.plain, pixels)
            features, optimized_seconds = _timed(optimized, pixels)
            if not self._same(features, expected):
                return 0.0
            ratios.append(slow_seconds / optimized_seconds)
        return median(ratios)

    def _same(self, features: Tensor, expected: Tensor) -> bool:
        if not self.optimization.tolerance:
            return torch.equal(features, expected)
        return close(features, expected, self.optimization.tolerance)


def key_on(device: torch.device, *what: object) -> str:
    """Return what a measurement of something on a device belongs to: also this machine, and the versions of torch."""
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return canonical_json([*what, machine, torch.__version__, torch.version.cuda])


def close(features: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Tell whether features differ by at most ``tolerance``, of the largest absolute one or of 1; NaN never does."""
    scale = max(1.0, float(expected.float().abs().max()))
    return float((features.float() - expected.float()).abs().max()) <= tolerance * scale


def _timed(network: Network, pixels: Tensor) -> tuple[Tensor, float]:
    """Return features, and the seconds until they are there."""
    wait_for(pixels)
    since = perf_counter()
    features = network(pixels)
    wait_for(pixels)
    return features, perf_counter() - since


def plain_network(network: Network) -> Network:
    """Return a network as it is, without its optimizations."""
    while isinstance(network, AutotunedNetwork):
        network = network.plain
    return network


def wait_for(pixels: Tensor) -> None:
    """Wait for what the device of these pixels was given to do."""
    if pixels.device.type == "cuda":
        torch.cuda.synchronize(pixels.device)

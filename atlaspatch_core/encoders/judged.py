"""A network that takes a quicker form when the patches to come pay for it. Imports torch."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from atlaspatch_core.encoders.paying import Gain, remember_gain, remembered_gain

log = logging.getLogger(__name__)

Network = Callable[[Tensor], Tensor]
FAILURES = (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError, ImportError, OSError)
"""What tracing, capturing and compiling raise for networks that cannot be; out of memory is a RuntimeError."""

ROUNDS = 3
"""In which a network and its quick form run in turns."""


@dataclass(slots=True)
class QuickForm:
    """A way to make a network quicker."""

    name: str
    """For the log, such as ``frozen``."""
    make: Callable[[Tensor], Network]
    """Returns the quick network, from input such as it will get."""
    guess: Gain
    """What it costs and brings where nobody has measured it."""
    tolerance: float = 0.0
    """By which its features may differ, of the largest absolute one or of 1; 0: bit for bit the same."""


@dataclass(slots=True)
class Judged:
    """Input (b, 3, h, w) to features (b, dim): runs a network as it is until its quick form pays.

    A form is tried on patches of the run. Where it is not quicker, or gives other features, that is remembered, and it
    is not tried again. One that gives the same bits is judged at every batch: where another process takes the cores,
    the rest of the run takes longer, and it may pay now. One that may give other bits is judged at the first batch
    alone, so that no slide has rows of both.
    """

    plain: Network
    form: QuickForm
    key: str
    """Under which is remembered what the form costs and brings: encoder, weights, device, precision, versions."""
    quick: Network | None = None
    _gain: Gain | None = None
    _coming: int = 0
    """Patches that are still to come, as far as it is known."""
    _seconds_per_patch: float | None = None

    def expect(self, patches: int) -> None:
        """Take note that so many patches are to come."""
        self._coming = patches
        if isinstance(self.plain, Judged):
            self.plain.expect(patches)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Run the network."""
        features = self._first(pixels) if self._seconds_per_patch is None else self._next(pixels)
        self._coming = max(0, self._coming - len(pixels))
        return features

    @property
    def gain(self) -> Gain:
        """What the form costs and brings: measured on this machine, or guessed."""
        if self._gain is None:
            self._gain = remembered_gain(self.key) or self.form.guess
        return self._gain

    def _first(self, pixels: Tensor) -> Tensor:
        """Run the network, and judge the form by how long it took; the features are those of what runs from now on."""
        if pixels.device.type != "cpu":
            self.plain(pixels)  # the first run on a device takes long: libraries start, and choose their kernels
        features, seconds = _timed(self.plain, pixels)
        self._seconds_per_patch = seconds / len(pixels)
        if self._pays():
            self._try(pixels)
        return self.quick(pixels) if self.quick and self.form.tolerance else features

    def _next(self, pixels: Tensor) -> Tensor:
        if self.quick is not None or self.form.tolerance:
            return (self.quick or self.plain)(pixels)
        since = perf_counter()
        features = self.plain(pixels)
        if pixels.device.type == "cpu":  # elsewhere it returns before they are there
            self._seconds_per_patch = (perf_counter() - since) / len(pixels)
        if self._pays():
            self._try(pixels)
        return features

    def _pays(self) -> bool:
        return self.gain.pays(self._coming, self._seconds_per_patch or 0)

    def _try(self, pixels: Tensor) -> None:
        """Make the quick form, and take it from now on where it proves itself."""
        since = perf_counter()
        quick, times_as_fast = None, 0.0
        try:
            quick = self.form.make(pixels)
            quick(pixels)  # the first run of a form is slower
            times_as_fast = self._times_as_fast(quick, pixels)
        except FAILURES as error:
            log.info("a network cannot be %s, stays as it is: %s", self.form.name, error)
        self._gain = Gain(perf_counter() - since, times_as_fast)
        remember_gain(self.key, self._gain)
        self.quick = quick if times_as_fast > 1 else None
        log.info("%s: %.2f times as fast, tried in %.1f s", self.form.name, times_as_fast, self._gain.seconds)

    def _times_as_fast(self, quick: Network, pixels: Tensor) -> float:
        """Run both in turns, and return how many times as fast the quick one is; 0 where it gives other features."""
        ratios = []
        for _ in range(ROUNDS):
            expected, slow_seconds = _timed(self.plain, pixels)
            features, quick_seconds = _timed(quick, pixels)
            if not self._same(features, expected):
                return 0.0
            ratios.append(slow_seconds / quick_seconds)
        return median(ratios)

    def _same(self, features: Tensor, expected: Tensor) -> bool:
        if not self.form.tolerance:
            return torch.equal(features, expected)
        return close(features, expected, self.form.tolerance)


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
    """Return a network as it is, without its quick forms."""
    while isinstance(network, Judged):
        network = network.plain
    return network


def wait_for(pixels: Tensor) -> None:
    """Wait for what the device of these pixels was given to do."""
    if pixels.device.type == "cuda":
        torch.cuda.synchronize(pixels.device)

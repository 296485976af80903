"""Whether networks that see the same patches are quicker side by side, each on a stream of its own: tried once."""

import logging
from collections.abc import Sequence
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.accelerator import Accelerator
from atlaspatch_core.encoders.in_flight import BatchPipeline
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.speedups import Speedup, remember_speedup, remembered_speedup

log = logging.getLogger(__name__)

TRY_AFTER = 1000
"""Batches that a run has encoded before it tries, which takes as long as 24; shorter runs have little to gain."""
BATCHES = 4
"""Of each way in a round."""
ROUNDS = 2
AT_LEAST = 1.02
"""Times as fast, for streams of their own: they take more memory."""


class StreamChoice:
    """Decides for encoders of one device. The features are the same either way, bit for bit."""

    def __init__(
        self, encoders: Sequence[LoadedPatchEncoder], device: Accelerator, *, own_streams: bool | None = None
    ) -> None:
        """``own_streams`` is what was decided already, if anything was."""
        self._encoders, self._device, self._decided = encoders, device, own_streams
        self._batches = self._largest = 0
        self._is_open = own_streams is None and len(encoders) > 1 and device.slots > 1

    def pipeline(self) -> BatchPipeline:
        """Return the pipeline that was quicker the last time; with one stream for all where nobody tried."""
        if not self._is_open:
            return self._pipeline(own_streams=bool(self._decided))
        speedup = remembered_speedup(self._key())
        self._is_open = speedup is None
        return self._pipeline(own_streams=_gains(speedup))

    def is_due(self, patches: int) -> bool:
        """Count a batch of so many patches; tell whether it is time to try, by one that is as large as they come."""
        self._batches += 1
        self._largest = max(self._largest, patches, 1)
        return self._is_open and self._batches > TRY_AFTER and patches == self._largest

    def tried(self, patches: NDArray[np.uint8]) -> BatchPipeline:
        """Return the quicker pipeline for such patches, once; nothing may be under way. Raises what launching does."""
        self._is_open = False
        since = perf_counter()
        times_as_fast = self._times_as_fast(patches)
        speedup = Speedup(perf_counter() - since, times_as_fast)
        remember_speedup(self._key(), speedup)
        log.info("networks on streams of their own: %.2f times as fast", times_as_fast)
        return self._pipeline(own_streams=_gains(speedup))

    def _pipeline(self, *, own_streams: bool) -> BatchPipeline:
        return BatchPipeline(self._encoders, self._device, own_streams=own_streams)

    def _times_as_fast(self, patches: NDArray[np.uint8]) -> float:
        """Return the median of rounds in which both ways run in turns; 0 where memory is short."""
        from torch import OutOfMemoryError, cuda

        ways = [self._pipeline(own_streams=own) for own in (True, False)]
        try:
            rounds = [[_seconds(way, patches) for way in ways] for _ in range(1 + ROUNDS)]
            return median(one / own for own, one in rounds[1:])  # in the first, memory is taken
        except OutOfMemoryError:
            return 0.0
        finally:
            for way in ways:
                way.finish()
            cuda.empty_cache()  # each stream keeps memory of its own

    def _key(self) -> str:
        from atlaspatch_core.encoders.autotuning import key_on

        networks = [(loaded.encoder.spec(), loaded.precision) for loaded in self._encoders]
        return key_on(self._encoders[0].device, "own streams", networks)


def _gains(speedup: Speedup | None) -> bool:
    return speedup is not None and speedup.times_as_fast >= AT_LEAST


def _seconds(pipeline: BatchPipeline, patches: NDArray[np.uint8]) -> float:
    since = perf_counter()
    for _ in range(BATCHES):
        pipeline.launch(patches)
    pipeline.finish()
    return perf_counter() - since

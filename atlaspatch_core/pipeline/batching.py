"""Batches that cross slide borders: encoders always see full ones, whatever the slides' sizes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.inference import PatchEncoders
from atlaspatch_core.pipeline.steps.features import FeatureBatch, FeatureJob
from atlaspatch_core.validity.outcome import Outcome

Kind = tuple[object, ...]
"""What patches must share to go into one batch: the encoders that they are for, and their size."""


@dataclass(slots=True)
class Batcher:
    """Collects the patches of slide after slide and encodes them by full batches."""

    batch_size: int
    on_done: Callable[[FeatureJob], None]
    """Called with every job whose last patch was encoded, or that failed."""
    _waiting: list[FeatureBatch] = field(default_factory=list)
    _ended: list[FeatureJob] = field(default_factory=list)
    """Jobs that no more patches will come for."""
    _encoders: dict[Kind, PatchEncoders] = field(default_factory=dict)

    def add(self, pixels: FeatureBatch) -> None:
        """Take patches, and encode what waits as soon as it fills a batch."""
        if self._waiting and _kind(self._waiting[0]) != _kind(pixels):
            self.flush()
        self._waiting.append(pixels)
        if sum(len(part.rows) for part in self._waiting) >= self.batch_size:
            self.flush()

    def end(self, job: FeatureJob) -> None:
        """Take note that no more patches of a job will come."""
        self._ended.append(job)
        self._report_ended()

    def flush(self) -> None:
        """Encode what waits, whether or not it fills a batch."""
        parts, self._waiting = self._waiting, []
        for _, alike in groupby((part for part in parts if not part.job.failed), key=_kind):
            self._encode(list(alike))
        self._report_ended()

    def _encode(self, parts: list[FeatureBatch]) -> None:
        """Encode parts of one kind together; where that fails, one by one, so that only the guilty job fails."""
        together = self._encoders.setdefault(_kind(parts[0]), PatchEncoders(parts[0].job.models))
        patches = parts[0].patches if len(parts) == 1 else np.concatenate([part.patches for part in parts])
        job = parts[0].job
        features = job.work.attempt(job.todo[0].stage.step, lambda: together.encode(patches))
        if not isinstance(features, Outcome):
            for part, values in _split(parts, features):
                part.job.add(part.rows, values)
        elif len(parts) == 1:
            job.failed = features
        else:
            for part in parts:
                self._encode([part])

    def _report_ended(self) -> None:
        for job in self._ended[:]:
            if job.failed or job.done == job.total:
                self._ended.remove(job)
                self.on_done(job)


def _kind(pixels: FeatureBatch) -> Kind:
    return (*map(id, pixels.job.models), pixels.patches.shape[1:])


def _split(
    parts: list[FeatureBatch], features: list[NDArray[np.float32]]
) -> Iterator[tuple[FeatureBatch, list[NDArray[np.float32]]]]:
    """Yield each part with its own features, by encoder."""
    start = 0
    for part in parts:
        stop = start + len(part.rows)
        yield part, [values[start:stop] for values in features]
        start = stop

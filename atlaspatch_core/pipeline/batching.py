"""Batches that cross slide borders: encoders always see full ones, whatever the slides' sizes."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.patch_encoders import PatchEncoders, Submission
from atlaspatch_core.pipeline.steps.features import FeatureBatch, FeatureJob
from atlaspatch_core.validity.outcome import Outcome

Result = TypeVar("Result")
MOST_WAITING = 4096
"""Patches of several small slides that wait for others to fill a batch; where a batch is larger, it is not filled."""
Kind = tuple[object, ...]
"""What patches must share to go into one batch: the encoders that they are for, and their size."""


@dataclass(frozen=True, slots=True, eq=False)
class _Encoding:
    """Parts that are encoded together, and their features under way."""

    parts: list[FeatureBatch]
    submission: Submission


@dataclass(slots=True)
class Batcher:
    """Collects the patches of slide after slide and encodes them by full batches.

    A device of its own computes while more patches are read: features are handed out when they are there, in the order
    in which the patches came.
    """

    on_done: Callable[[FeatureJob], None]
    """Called with every job whose last patch was encoded, or that failed."""
    put_together: Callable[[Sequence[LoadedPatchEncoder]], PatchEncoders] = PatchEncoders
    """Called once with the encoders of each kind of patches."""
    _waiting: list[FeatureBatch] = field(default_factory=list)
    _under_way: deque[_Encoding] = field(default_factory=deque)
    _ended: list[FeatureJob] = field(default_factory=list)
    """Jobs that no more patches will come for."""
    _encoders: dict[Kind, PatchEncoders] = field(default_factory=dict)

    def add(self, pixels: FeatureBatch) -> None:
        """Take patches, and encode what waits as soon as it fills a batch."""
        if self._waiting and _kind(self._waiting[0]) != _kind(pixels):
            self._submit_waiting()
        self._waiting.append(pixels)
        if sum(len(part.rows) for part in self._waiting) >= _enough(pixels.job):
            self._submit_waiting()
        self._hand_out_done()

    def end(self, job: FeatureJob) -> None:
        """Take note that no more patches of a job will come."""
        self._ended.append(job)
        self._hand_out_done()

    def flush(self) -> None:
        """Encode what waits, whether or not it fills a batch, and wait for all that is under way."""
        self._submit_waiting()
        while self._under_way:
            self._hand_out(self._under_way.popleft())
        self._report_ended()

    def _submit_waiting(self) -> None:
        parts, self._waiting = self._waiting, []
        for _, alike in groupby((part for part in parts if not part.job.failed), key=_kind):
            self._submit(list(alike))

    def _submit(self, parts: list[FeatureBatch]) -> None:
        """Send parts of one kind to their encoders together."""
        kind = _kind(parts[0])
        if kind not in self._encoders:
            self._encoders[kind] = self.put_together(parts[0].job.models)
        together = self._encoders[kind]
        patches = parts[0].patches if len(parts) == 1 else np.concatenate([part.patches for part in parts])
        submission = _attempt(parts, lambda: together.submit(patches))
        if isinstance(submission, Outcome):
            self._blame(parts, submission)
        else:
            self._under_way.append(_Encoding(parts, submission))

    def _hand_out_done(self) -> None:
        """Hand out the features that are there, without waiting."""
        while self._under_way and self._under_way[0].submission.is_done():
            self._hand_out(self._under_way.popleft())
        self._report_ended()

    def _hand_out(self, encoding: _Encoding) -> None:
        features = _attempt(encoding.parts, encoding.submission.features)
        if isinstance(features, Outcome):
            return self._blame(encoding.parts, features)
        for part, values in _split(encoding.parts, features):
            if not part.job.failed:
                part.job.add(part.rows, values)
        return None

    def _blame(self, parts: list[FeatureBatch], failure: Outcome) -> None:
        """Encode parts that failed together one by one, so that only the guilty job fails."""
        if len(parts) == 1:
            parts[0].job.failed = parts[0].job.failed or failure
            return
        for part in parts:
            if not part.job.failed:
                self._encode_alone(part)

    def _encode_alone(self, part: FeatureBatch) -> None:
        """Encode one part and wait for it."""
        features = _attempt([part], lambda: self._encoders[_kind(part)].encode(part.patches))
        if isinstance(features, Outcome):
            part.job.failed = features
        else:
            part.job.add(part.rows, features)

    def _report_ended(self) -> None:
        for job in self._ended[:]:
            if job.failed or job.done == job.total:
                self._ended.remove(job)
                self.on_done(job)


def _attempt(parts: list[FeatureBatch], action: Callable[[], Result]) -> Result | Outcome:
    """Return what the action returns, or how it failed, said of the first job."""
    job = parts[0].job
    return job.work.attempt(job.todo[0].stage.step, action)


def _enough(job: FeatureJob) -> int:
    """Return how many patches are encoded together: a batch, and of one that is larger than any slide no more wait."""
    return min(job.batch_size, max(job.total, MOST_WAITING))


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

"""The patches of a slide, of which other workers that have nothing to do are given some.

Every row is computed once: here, or by the worker that it was given to. What does not come back is computed here. Who
does it decides no pixel, for every worker reads the same.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.pipeline.schedule import piece_size
from atlaspatch_core.pipeline.share_mailbox import ShareMailbox
from atlaspatch_core.pipeline.shares import FLUSH, Flush, NothingToShare, PatchShare, ShareEnd, ShareWanted
from atlaspatch_core.pipeline.steps.features import FeatureBatch, FeatureJob, SharedFeatures, stream_rows
from atlaspatch_core.validity.outcome import OutputKey

Read = FeatureBatch | SharedFeatures | Flush


def patches_of(job: FeatureJob) -> Generator[Read]:
    """Yield every patch of a job once, as pixels, or as features where another worker computed them."""
    mailbox = job.work.run.mailbox
    # tiles decoded at a reduced scale are chosen by the patches that are read, so that a part may give other pixels
    if mailbox is None or job.geometry.downscale != "area":
        yield from stream_rows(job)
        return
    with mailbox.reading(job.work.stem, job.total):
        yield from SharedReading(job, mailbox).items()


class SharedReading:
    """Keeps account of the rows of one job: read here, given away, or free."""

    def __init__(self, job: FeatureJob, mailbox: ShareMailbox) -> None:
        self._job, self._mailbox = job, mailbox
        self._free = np.ones(job.total, bool)
        """Rows that nobody computes yet."""
        self._piece = np.zeros(job.total, bool)
        """Rows that are being read here, and were not yet."""
        self._outstanding: dict[str, NDArray[np.int64]] = {}
        """Key of a share to its rows that did not come back yet."""
        self._split: ShareWanted | None = None
        """How the slide is shared, once another worker asked; until then it is read as a whole."""

    def items(self) -> Generator[Read]:
        """Yield pixels to be encoded, features that came, and what to do while others are waited for."""
        while not self._job.failed and (self._free.any() or self._outstanding):
            self._answer()
            if self._free.any():
                yield from self._read_piece()
            else:
                yield FLUSH
            yield from self._arrived(wait=not self._free.any() and bool(self._outstanding))

    def _read_piece(self) -> Generator[Read]:
        rows = np.flatnonzero(self._free)
        if self._split:
            rows = rows[: piece_size(len(rows), self._split.workers, self._split.least, self._job.batch_size)]
        self._free[rows], self._piece[rows] = False, True
        with closing(stream_rows(self._job, rows)) as batches:
            for batch in batches:
                self._piece[batch.rows] = False
                yield batch
                yield from self._arrived(wait=False)
                if self._is_to_be_split():
                    break
                self._answer()
        self._free |= self._piece
        self._piece[:] = False

    def _is_to_be_split(self) -> bool:
        """Note that the slide is shared from now on, where it was read as a whole and enough of it is left."""
        request = self._mailbox.request
        if self._split or not request or np.count_nonzero(self._piece) < 2 * request.least:
            return False
        self._split = request
        return True

    def _answer(self) -> None:
        """Give the last of the free rows to who asked, or say that there are too few."""
        request = self._mailbox.take_request()
        if not request:
            return
        rows = np.flatnonzero(self._free)
        if len(rows) < request.least:
            self._mailbox.send(NothingToShare(self._job.work.stem, self._job.total))
            return
        self._split = request
        self._give(rows[-piece_size(len(rows), request.workers, request.least, self._job.batch_size) :])

    def _give(self, rows: NDArray[np.int64]) -> None:
        job, key = self._job, uuid4().hex
        self._free[rows], self._outstanding[key] = False, rows
        steps = dict[str, OutputKey]()  # a network gives several outputs; the order is that of the job's models
        for item in job.todo:
            steps.setdefault(item.model.encoder.name, item.stage.step)
        coords = job.work.coords[job.geometry.name].fingerprint
        self._mailbox.send(PatchShare(key, job.work.source, job.geometry.name, tuple(steps.values()), coords, rows))

    def _arrived(self, *, wait: bool) -> Iterator[SharedFeatures]:
        for message in self._mailbox.arrived(wait=wait):
            missing = self._outstanding.get(message.key)
            if missing is None:
                continue
            if isinstance(message, ShareEnd):
                self._free[self._outstanding.pop(message.key)] = True
            else:
                self._outstanding[message.key] = np.setdiff1d(missing, message.rows, assume_unique=True)
                yield SharedFeatures(self._job, message.rows, message.features)

"""Patches of a slide that another worker writes, encoded for it."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import OutOfDate
from atlaspatch_core.pipeline.preparation import Item, identify_stored
from atlaspatch_core.pipeline.share_mailbox import ShareMailbox
from atlaspatch_core.pipeline.shares import FLUSH, PatchShare, ShareEnd, ShareFeatures
from atlaspatch_core.pipeline.slide_work import RunContext, SlideWork
from atlaspatch_core.pipeline.steps.features import FeatureBatch, FeatureJob, PlannedFeatures, read_job, stream_rows
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import OutputSpec


@dataclass(frozen=True, slots=True)
class ShareSender:
    """Sends the features of a share to the worker that writes them."""

    mailbox: ShareMailbox
    key: str

    def receive_rows(self, rows: NDArray[np.int64], features: Sequence[NDArray[np.float32]]) -> None:
        """Send the features of some rows, by encoder."""
        self.mailbox.send(ShareFeatures(self.key, rows, tuple(features)))

    def end(self) -> None:
        """Say that no more come."""
        self.mailbox.send(ShareEnd(self.key))


def encode_share(run: RunContext, share: PatchShare) -> Generator[Item]:
    """Yield the pixels of a share, whose features are sent as they come.

    Nothing is written, and nothing but these features is computed. Whatever goes wrong ends the share: the worker that
    has the slide computes it, and tells what is wrong with it.
    """
    assert run.mailbox is not None
    sender = ShareSender(run.mailbox, share.key)
    with SlideWork(share.source, replace(run, force=False, selected=frozenset())) as work:
        job = work.attempt(share.steps[0], lambda: _job_of(work, share, sender))
        if isinstance(job, Outcome):
            sender.end()
            return
        yield from read_job(job, _until_dropped(job, share, run.mailbox))
        yield FLUSH


def _job_of(work: SlideWork, share: PatchShare, sender: ShareSender) -> FeatureJob:
    """Return the job of a share. Raises OutOfDate where the coords are not those that its rows count."""
    since, recipe = perf_counter(), work.run.recipe
    geometry = next(geometry for geometry in recipe.project.geometry if geometry.name == share.geometry)
    if identify_stored(work, geometry).fingerprint != share.coords:
        raise OutOfDate(f"{work.stem}: the coords changed while their patches were shared; run it again")
    todo = tuple(_planned(work, recipe.stage(step)) for step in share.steps)
    job = FeatureJob(work, geometry, todo, len(share.rows), since, receiver=sender)
    for model in job.models:  # what pays for the whole slide is done here, too
        model.expect(work.stored_results[geometry.name][COORDS].shape[0])
    return job


def _planned(work: SlideWork, stage: OutputSpec) -> PlannedFeatures:
    model = work.run.model(stage)
    return PlannedFeatures(stage, work.identity(stage), model, "", model.dim)


def _until_dropped(job: FeatureJob, share: PatchShare, mailbox: ShareMailbox) -> Generator[FeatureBatch]:
    with closing(stream_rows(job, share.rows)) as batches:
        for batch in batches:
            if share.key in mailbox.dropped:
                job.failed = Outcome(job.work.stem, share.steps[0], Status.SKIPPED, why="nobody wants it any more")
                return
            yield batch

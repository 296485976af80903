"""Fourth step: the features of a geometry's patches; one pass over the pixels serves every encoder that needs it."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.batch_size import batch_size_of
from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.fingerprint import Identity, canonical_json
from atlaspatch_core.patches.stream import open_stream
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.leading_features import cut_features, whole_stage
from atlaspatch_core.pipeline.steps.provenance import provenance
from atlaspatch_core.storage.hdf5_changes import Dataset
from atlaspatch_core.storage.schema import COORDS, DIM, LICENSE, NAME, PRECISION, READ_BY, REVISION
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import OutputSpec
from atlaspatch_core.validity.rules import has_all_rows

Read = TypeVar("Read")
"""What is read of a job: batches of pixels; where several processes share the slide, features, too."""


@dataclass(frozen=True, slots=True)
class PlannedFeatures:
    """Features to compute by one encoder."""

    stage: OutputSpec
    identity: Identity
    model: LoadedPatchEncoder
    why: str
    dim: int
    """How many numbers of the model's are taken, the first ones."""


Plan = PlannedFeatures | Outcome
"""Features to compute, or what became of those that are not."""


class FeatureReceiver(Protocol):
    """Takes features that another process joins to those of the slide's other patches."""

    def receive_rows(self, rows: NDArray[np.int64], features: Sequence[NDArray[np.float32]]) -> None:
        """Take the features of some rows, by encoder."""

    def end(self) -> None:
        """Take note that no more come."""


@dataclass(slots=True, eq=False)
class FeatureJob:
    """The features of one slide and geometry that are to be computed, by all encoders that need it."""

    work: SlideWork
    geometry: Geometry
    todo: tuple[PlannedFeatures, ...]
    total: int
    """Patches in all."""
    since: float
    done: int = 0
    """Patches encoded."""
    results: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Encoder to features (total, dim), row i belonging to row i of the coords."""
    failed: Outcome | None = None
    """What went wrong, said of the first encoder; the others went the same way."""
    batch_size: int = field(init=False)
    """Patches that the encoders take at once."""
    path: str = ""
    """``tiles``, ``tiles dct 1/8`` or ``regions``: how pixels were read."""
    receiver: FeatureReceiver | None = None
    """Who takes the features where they are some rows of a slide that another process writes."""

    def __post_init__(self) -> None:
        """Make room for the results, and find out how large batches are."""
        stated = self.work.run.recipe.project.runtime.feature_batch_size
        self.batch_size = batch_size_of(stated, self.models, self.geometry.patch_size)
        for model in self.models if self.receiver is None else ():
            self.results[model.encoder.name] = np.empty((self.total, model.dim), np.float32)

    @property
    def models(self) -> tuple[LoadedPatchEncoder, ...]:
        """Return the encoders of this job, each network once."""
        return tuple({item.model.encoder.name: item.model for item in self.todo}.values())

    def values(self, item: PlannedFeatures) -> NDArray[np.float32]:
        """Return the features (total, dim) of one item."""
        return self.results[item.model.encoder.name][:, : item.dim]

    def add(self, rows: NDArray[np.int64], features: Sequence[NDArray[np.float32]]) -> None:
        """Take the features of some rows, by model."""
        self.done += len(rows)
        if self.receiver:
            self.receiver.receive_rows(rows, features)
            return
        for model, values in zip(self.models, features, strict=True):
            self.results[model.encoder.name][rows] = values
        self.work.run.on_patches(self.work.stem, self.done, self.total)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureBatch:
    """Some patches of a job."""

    job: FeatureJob
    rows: NDArray[np.int64]
    """Shape (b,): rows of the coords."""
    patches: NDArray[np.uint8]
    """Shape (b, patch_size, patch_size, 3)."""


@dataclass(frozen=True, slots=True, eq=False)
class SharedFeatures:
    """Features of some rows of a job that another process computed."""

    job: FeatureJob
    rows: NDArray[np.int64]
    """Shape (b,): rows of the coords."""
    features: tuple[NDArray[np.float32], ...]
    """By encoder: shape (b, dim)."""


@dataclass(frozen=True, slots=True)
class JobEnd:
    """All patches of a job were read, or could not be."""

    job: FeatureJob


def plan_features(work: SlideWork, stages: Sequence[OutputSpec]) -> tuple[list[Outcome], FeatureJob | None]:
    """Return the outcomes of what is reused, and the job that is left; one bad encoder stops no other."""
    since = perf_counter()
    plans: dict[OutputKey, Plan] = {}
    for stage in sorted(stages, key=lambda stage: whole_stage(stage) is not None):  # networks before their parts
        plans[stage.step] = work.attempt(stage.step, lambda stage=stage: _reuse_or_plan(work, stage, plans))
    todo = tuple(item for item in plans.values() if isinstance(item, PlannedFeatures))
    outcomes = [item for item in plans.values() if isinstance(item, Outcome)]
    if not todo:
        return outcomes, None
    geometry = _geometry(todo[0].stage)
    rows = work.stored_results[geometry.name][COORDS].shape[0]
    job = FeatureJob(work, geometry, todo, rows, since)
    patches = work.run.forecast.plan(rows)
    for model in job.models:
        model.expect(patches)
    return outcomes, job


def read_job(job: FeatureJob, items: Generator[Read]) -> Generator[Read | JobEnd]:
    """Yield what ``items`` gives of a job's patches, and at last that it ended.

    Pixels that cannot be read fail this job alone.
    """
    with closing(items):
        while (item := job.work.attempt(job.todo[0].stage.step, lambda: next(items, None))) is not None:
            if isinstance(item, Outcome):
                job.failed = job.failed or item
                break
            yield item
    yield JobEnd(job)


def stream_rows(job: FeatureJob, rows: NDArray[np.int64] | None = None) -> Generator[FeatureBatch]:
    """Yield the pixels of the patches of a job, or of these rows of its coords, each once."""
    runtime = job.work.run.recipe.project.runtime
    size, readers, downscale = job.batch_size, runtime.readers, job.geometry.downscale
    grid = job.work.grid(job.geometry)
    if rows is not None:
        grid = replace(grid, coords=grid.coords[rows], tissue_fraction=grid.tissue_fraction[rows])
    if not len(grid):
        return
    with open_stream(job.work.slide(), grid, batch_size=size, workers=readers, downscale=downscale) as stream:
        job.path = job.path or stream.path
        for batch in stream:
            yield FeatureBatch(job, batch.rows if rows is None else rows[batch.rows], batch.patches)


def finish_job(job: FeatureJob) -> list[Outcome]:
    """Keep the features of a job, and return what became of it."""
    failed = job.failed or job.work.attempt(job.todo[0].stage.step, lambda: _write_features(job))
    if failed:
        return [replace(failed, step=item.stage.step) for item in job.todo]
    for item in job.todo:
        job.work.features[item.stage.step] = job.values(item)
    return [_computed(job, item) for item in job.todo]


def _reuse_or_plan(work: SlideWork, stage: OutputSpec, plans: Mapping[OutputKey, Plan]) -> Plan:
    since = perf_counter()
    results = work.stored_results[_geometry(stage).name]
    rows = results[COORDS].shape[0]
    stored = results.get(stage.dataset)
    if stored is not None and not has_all_rows(stage.step, stored.shape[0], rows):
        stored = None
    if outcome := cut_features(work, stage, stored):
        return outcome
    network = _plan_of_network(whole_stage(stage), plans)
    if network and (why := work.reason(stage, stored, work.identity(stage))):
        return replace(network, stage=stage, identity=work.identity(stage), why=why, dim=_dim(stage))
    expected, why = work.verdict(stage, stored)
    if why or stored is None:
        model = work.run.model(stage)
        return PlannedFeatures(stage, expected, model, why, model.dim)
    numbers = {"patches": rows, "dim": stored.shape[1]}
    path = work.store.h5(work.stem, _geometry(stage).name)
    return work.outcome(stage, Status.REUSED, expected.fingerprint, since, numbers=numbers, path=path)


def _plan_of_network(whole: OutputSpec | None, plans: Mapping[OutputKey, Plan]) -> PlannedFeatures | None:
    """Return what is to be computed by the very network that a stage's numbers are the first of, weights included."""
    plan = plans.get(whole.step) if whole else None
    return plan if whole and isinstance(plan, PlannedFeatures) and plan.stage.spec == whole.spec else None


def _dim(stage: OutputSpec) -> int:
    assert stage.encoder is not None
    assert stage.encoder.dim is not None
    return stage.encoder.dim


def _write_features(job: FeatureJob) -> None:
    work, geometry = job.work, job.geometry.name
    datasets = [_dataset(item, job.values(item), job.path) for item in job.todo]
    work.store.write_results(work.stem, geometry, work.coords[geometry], datasets)


def _computed(job: FeatureJob, item: PlannedFeatures) -> Outcome:
    rate = job.total / max(perf_counter() - job.since, 1e-9)
    numbers = {"patches": job.total, "dim": item.dim} | ({"patches_per_second": rate} if job.total else {})
    return job.work.outcome(
        item.stage,
        Status.COMPUTED,
        item.identity.fingerprint,
        job.since,
        why=item.why,
        numbers=numbers,
        facts={"precision": item.model.precision, "read_by": job.path},
        path=job.work.store.h5(job.work.stem, job.geometry.name),
    )


def _dataset(item: PlannedFeatures, values: NDArray[np.float32], read_by: str) -> Dataset:
    encoder = item.stage.encoder
    assert encoder is not None
    attributes: dict[str, Any] = {
        NAME: encoder.name,
        DIM: values.shape[1],
        PRECISION: item.model.precision,
        REVISION: canonical_json(item.identity.spec["weights"]),
        LICENSE: encoder.license,
        READ_BY: read_by,
    }
    return Dataset(item.stage.dataset, values, item.identity, attributes | provenance())


def _geometry(stage: OutputSpec) -> Geometry:
    assert stage.geometry is not None
    return stage.geometry

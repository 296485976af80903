"""Fourth step: the features of a geometry's patches; one pass over the pixels serves every encoder that needs it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core import __version__
from atlaspatch_core.fingerprint import canonical_json
from atlaspatch_core.hdf5 import COORDS, Dataset
from atlaspatch_core.inference import encode_stream
from atlaspatch_core.outcome import Outcome, Status
from atlaspatch_core.patches import stream_patches
from atlaspatch_core.project import Geometry
from atlaspatch_core.recipe import Stage
from atlaspatch_core.steps.work import SlideWork, Todo, attempt


def encode(work: SlideWork, stages: Sequence[Stage]) -> Iterator[Outcome]:
    """Make sure of one geometry's features by every given encoder; one that cannot be loaded stops no other."""
    todo: list[Todo] = []
    for stage in stages:
        since = perf_counter()
        found = attempt(work, stage, lambda stage=stage, since=since: _reuse_or_plan(work, stage, since))
        if isinstance(found, Todo):
            todo.append(found)
        else:
            yield found
    if todo:
        yield from _compute(work, todo)


def _reuse_or_plan(work: SlideWork, stage: Stage, since: float) -> Outcome | Todo:
    expected = stage.identity(work.inputs(stage))
    kept = work.kept[_geometry(stage).name]
    stored = kept.get(stage.dataset)
    rows = kept[COORDS].shape[0]
    whole = stored is not None and stored.shape[0] == rows
    why = work.reason(stage, stored.identity if stored and whole else None, expected)
    if not why and stored:
        numbers = {"patches": rows, "dim": stored.shape[1]}
        path = work.store.h5(work.stem, _geometry(stage).name)
        return work.outcome(stage, Status.REUSED, expected.fingerprint, since, numbers=numbers, path=path)
    return Todo(stage, expected, work.run.models.get(stage), why, since)


def _compute(work: SlideWork, todo: list[Todo]) -> Iterator[Outcome]:
    geometry = _geometry(todo[0].stage)
    since = perf_counter()
    results = attempt(work, todo[0].stage, lambda: _kept_features(work, geometry, todo))
    if isinstance(results, Outcome):
        yield from (replace(results, step=item.stage.step) for item in todo)
        return
    for item in todo:
        values = results[item.model.encoder.name]
        work.features[item.stage.step] = values
        yield _computed(work, item, values, since)


def _kept_features(work: SlideWork, geometry: Geometry, todo: list[Todo]) -> dict[str, NDArray[np.float32]]:
    results = _features(work, geometry, todo)
    datasets = [_dataset(item, results[item.model.encoder.name]) for item in todo]
    work.store.keep_results(work.stem, geometry.name, work.coords[geometry.name], datasets)
    return results


def _computed(work: SlideWork, item: Todo, values: NDArray[np.float32], since: float) -> Outcome:
    rate = len(values) / max(perf_counter() - since, 1e-9)
    numbers = {"patches": len(values), "dim": values.shape[1], "patches_per_second": rate}
    path = work.store.h5(work.stem, _geometry(item.stage).name)
    facts = {"precision": item.model.precision}
    return work.outcome(
        item.stage,
        Status.COMPUTED,
        item.identity.fingerprint,
        since,
        why=item.why,
        numbers=numbers,
        facts=facts,
        path=path,
    )


def _features(work: SlideWork, geometry: Geometry, todo: list[Todo]) -> dict[str, NDArray[np.float32]]:
    """Return (n, dim) features by encoder, row i belonging to row i of the coords."""
    grid = work.grid(geometry)
    total = len(grid.coords)
    order: list[NDArray[np.int64]] = []

    def patches() -> Iterator[NDArray[np.uint8]]:
        runtime = work.run.recipe.project.runtime
        done = 0
        for batch in stream_patches(work.slide(), grid, batch_size=runtime.feature_batch_size, workers=runtime.readers):
            order.append(batch.rows)
            yield batch.patches
            done += len(batch.rows)
            work.run.on_patches(work.stem, done, total)

    streamed = encode_stream(patches() if total else (), [item.model for item in todo], total)
    rows = np.concatenate(order) if order else np.empty(0, np.int64)
    return {name: _in_order(values, rows) for name, values in streamed.items()}


def _in_order(values: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    ordered = np.empty_like(values)
    ordered[rows] = values
    return ordered


def _dataset(item: Todo, values: NDArray[np.float32]) -> Dataset:
    encoder = item.model.encoder
    attributes: dict[str, Any] = {
        "name": encoder.name,
        "dim": values.shape[1],
        "precision": item.model.precision,
        "revision": canonical_json(item.identity.spec["weights"]),
        "license": encoder.license,
    }
    return Dataset(item.stage.dataset, values, item.identity, attributes | provenance())


def provenance() -> dict[str, Any]:
    """Return what every result says of its making."""
    return {"atlaspatch_version": __version__, "created_at": datetime.now(UTC).isoformat()}


def _geometry(stage: Stage) -> Geometry:
    assert stage.geometry is not None
    return stage.geometry

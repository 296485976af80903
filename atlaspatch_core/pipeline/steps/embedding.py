"""Fifth step: one vector a slide."""

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.errors import DamagedOutput
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.attention import (
    attention_numbers,
    compute_attention,
    declared,
    features_of,
    keeps_attention,
    kept_attention,
)
from atlaspatch_core.pipeline.steps.provenance import provenance
from atlaspatch_core.storage.hdf5 import read_array
from atlaspatch_core.storage.hdf5_changes import Dataset
from atlaspatch_core.storage.schema import (
    COORDS,
    ENCODER_NAME,
    LICENSE,
    NUM_PATCHES,
    PATCH_SIZE,
    PATCH_SIZE_LEVEL0,
    SOURCE_PATCH_ENCODER,
    TARGET_MAGNIFICATION,
)
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import OutputSpec
from atlaspatch_core.validity.rules import DAMAGED_ON_DISK

NO_PATCHES = "the slide has no patches, so there is nothing to embed"
ATTENTION_ADDED = "its attention was computed from stored features"


def embed_slide(work: SlideWork, stage: OutputSpec) -> Outcome:
    """Make sure of one slide embedding, and of its attention where that is kept.

    A slide without patches has none, and the outcome says so.
    """
    since = perf_counter()
    _, geometry = declared(stage)
    results = work.stored_results[geometry.name]
    patches = results[COORDS].shape[0]
    if patches == 0:
        return work.outcome(stage, Status.SKIPPED, work.identity(stage).fingerprint, since, why=NO_PATCHES)
    stored = results.get(stage.dataset)
    expected, why = work.verdict(stage, stored)
    path = work.store.h5(work.stem, geometry.name)
    vector = None if why else _read_if_whole(path, stage)
    if vector is not None:
        news, more = _add_attention(work, stage, expected)
        numbers = embedding_numbers(vector, patches) | more
        return work.outcome(stage, Status.REUSED, expected.fingerprint, since, why=news, numbers=numbers, path=path)
    vector = _encode(work, stage, geometry)
    datasets, numbers = [Dataset(stage.dataset, vector, expected, _attributes(work, stage, geometry))], {}
    if keeps_attention(work, stage):
        datasets.append(compute_attention(work, stage, expected.fingerprint))
        numbers = attention_numbers(datasets[-1].values)
    work.store.write_results(work.stem, geometry.name, work.coords[geometry.name], datasets)
    numbers, why = embedding_numbers(vector, patches) | numbers, why or DAMAGED_ON_DISK
    return work.outcome(stage, Status.COMPUTED, expected.fingerprint, since, why=why, numbers=numbers, path=path)


def _read_if_whole(path: Path, stage: OutputSpec) -> NDArray[np.float32] | None:
    """Return a stored embedding; None where it is not what was written."""
    try:
        return read_array(path, stage.dataset)
    except DamagedOutput:
        return None


def _add_attention(work: SlideWork, stage: OutputSpec, embedding: Identity) -> tuple[str, dict[str, int | float]]:
    """Keep the attention of an embedding that stays as it lies, where it is to be kept.

    Return what was done, and what is told of it.
    """
    if not keeps_attention(work, stage):
        return "", {}
    _, geometry = declared(stage)
    weights = kept_attention(work.store.h5(work.stem, geometry.name), stage, embedding.fingerprint)
    if weights is not None:
        return "", attention_numbers(weights)
    attention = compute_attention(work, stage, embedding.fingerprint)
    work.store.write_results(work.stem, geometry.name, work.coords[geometry.name], [attention])
    return ATTENTION_ADDED, attention_numbers(attention.values)


def embedding_numbers(vector: NDArray[np.float32], patches: int) -> dict[str, int | float]:
    """Return what is told of an embedding (dim,), be it computed now or earlier."""
    return {"dim": len(vector), "patches": patches, "norm": float(np.linalg.norm(vector))}


def _encode(work: SlideWork, stage: OutputSpec, geometry: Geometry) -> NDArray[np.float32]:
    grid = work.grid(geometry)
    side = grid.sampling.patch_size_level0
    return encode_slide(work.run.model(stage), features_of(work, stage), grid.coords.astype(np.int64), side)


def _attributes(work: SlideWork, stage: OutputSpec, geometry: Geometry) -> dict[str, Any]:
    encoder, _ = declared(stage)
    grid = work.grid(geometry)
    theirs = {
        ENCODER_NAME: encoder.name,
        SOURCE_PATCH_ENCODER: ", ".join(encoder.patch_encoders),
        NUM_PATCHES: len(grid.coords),
        PATCH_SIZE: geometry.patch_size,
        PATCH_SIZE_LEVEL0: grid.sampling.patch_size_level0,
        TARGET_MAGNIFICATION: geometry.magnification,
    }
    return theirs | {LICENSE: encoder.license} | provenance()

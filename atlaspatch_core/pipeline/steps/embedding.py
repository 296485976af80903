"""Fifth step: one vector a slide."""

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.errors import DamagedOutput
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.provenance import provenance
from atlaspatch_core.storage.hdf5 import read_array
from atlaspatch_core.storage.hdf5_changes import Dataset
from atlaspatch_core.storage.schema import (
    COORDS,
    ENCODER_NAME,
    FEATURES,
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


def embed_slide(work: SlideWork, stage: OutputSpec) -> Outcome:
    """Make sure of one slide embedding; a slide without patches has none, and the outcome says so."""
    since = perf_counter()
    geometry = stage.geometry
    assert geometry is not None
    results = work.stored_results[geometry.name]
    if results[COORDS].shape[0] == 0:
        return work.outcome(stage, Status.SKIPPED, work.identity(stage).fingerprint, since, why=NO_PATCHES)
    stored = results.get(stage.dataset)
    expected, why = work.verdict(stage, stored)
    path = work.store.h5(work.stem, geometry.name)
    if not why and stored:
        try:
            numbers = embedding_numbers(read_array(path, stage.dataset), results[COORDS].shape[0])
            return work.outcome(stage, Status.REUSED, expected.fingerprint, since, numbers=numbers, path=path)
        except DamagedOutput:
            why = DAMAGED_ON_DISK
    vector = _encode(work, stage, geometry)
    dataset = Dataset(stage.dataset, vector, expected, _attributes(work, stage, geometry))
    work.store.write_results(work.stem, geometry.name, work.coords[geometry.name], [dataset])
    numbers = embedding_numbers(vector, results[COORDS].shape[0])
    return work.outcome(stage, Status.COMPUTED, expected.fingerprint, since, why=why, numbers=numbers, path=path)


def embedding_numbers(vector: NDArray[np.float32], patches: int) -> dict[str, int | float]:
    """Return what is told of an embedding (dim,), be it computed now or earlier."""
    return {"dim": len(vector), "patches": patches, "norm": float(np.linalg.norm(vector))}


def _encode(work: SlideWork, stage: OutputSpec, geometry: Geometry) -> NDArray[np.float32]:
    features_step = stage.upstream[-1]
    values = work.features.get(features_step)
    if values is None:
        values = read_array(work.store.h5(work.stem, geometry.name), f"{FEATURES}/{features_step.encoder}")
    grid = work.grid(geometry)
    return encode_slide(work.run.model(stage), values, grid.coords.astype(np.int64), grid.sampling.patch_size_level0)


def _attributes(work: SlideWork, stage: OutputSpec, geometry: Geometry) -> dict[str, Any]:
    encoder = stage.encoder
    assert isinstance(encoder, SlideEncoder)
    grid = work.grid(geometry)
    theirs = {
        ENCODER_NAME: encoder.name,
        SOURCE_PATCH_ENCODER: encoder.patch_encoder,
        NUM_PATCHES: len(grid.coords),
        PATCH_SIZE: geometry.patch_size,
        PATCH_SIZE_LEVEL0: grid.sampling.patch_size_level0,
        TARGET_MAGNIFICATION: geometry.magnification,
    }
    return theirs | {LICENSE: encoder.license} | provenance()

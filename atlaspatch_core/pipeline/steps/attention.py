"""Beside the fifth step: how much each patch counts in a slide embedding, of encoders that pool by attention."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.inference import slide_attention
from atlaspatch_core.errors import DamagedOutput, NoAttention
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.provenance import provenance
from atlaspatch_core.storage.attention import read_attention
from atlaspatch_core.storage.hdf5 import read_array, stored_fingerprint
from atlaspatch_core.storage.hdf5_changes import Dataset
from atlaspatch_core.storage.schema import (
    ENCODER_NAME,
    FEATURES,
    FINGERPRINT,
    FOUND_DAMAGED,
    LICENSE,
    NUM_PATCHES,
    SOURCE_PATCH_ENCODER,
    attention_of,
)
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec


def keeps_attention(work: SlideWork, stage: OutputSpec) -> bool:
    """Tell whether a slide is to have the attention of an encoder: it is asked for, or was found to be damaged."""
    encoder, geometry = declared(stage)
    if encoder.attention is None:
        return False
    path = work.store.h5(work.stem, geometry.name)
    return geometry.keep_attention or stored_fingerprint(path, attention_of(stage.dataset)) == FOUND_DAMAGED


def kept_attention(path: Path, stage: OutputSpec, fingerprint: str) -> NDArray[np.float32] | None:
    """Return the attention that goes with the embedding of this fingerprint; None where it is not there, or not whole.

    Raises UnreadableOutput.
    """
    try:
        return read_attention(path, stage.dataset, fingerprint)
    except (NoAttention, DamagedOutput):
        return None


def attention_numbers(weights: NDArray[np.float32]) -> dict[str, int | float]:
    """Return what is told of attention that is kept."""
    return {"attention_heads": 1 if weights.ndim == 1 else weights.shape[1]}


def compute_attention(work: SlideWork, stage: OutputSpec, fingerprint: str) -> Dataset:
    """Return the attention that goes with the embedding of this fingerprint, computed from the slide's features."""
    encoder, geometry = declared(stage)
    grid = work.grid(geometry)
    side = grid.sampling.patch_size_level0
    weights = slide_attention(work.run.model(stage), features_of(work, stage), grid.coords.astype(np.int64), side)
    about = {
        FINGERPRINT: fingerprint,
        ENCODER_NAME: encoder.name,
        SOURCE_PATCH_ENCODER: ", ".join(encoder.patch_encoders),
        NUM_PATCHES: len(weights),
        LICENSE: encoder.license,
    }
    return Dataset(attention_of(stage.dataset), weights, attributes=about | provenance())


def features_of(work: SlideWork, stage: OutputSpec) -> tuple[NDArray[np.float32], ...]:
    """Return the features (n, d) that a slide encoder takes, of each patch encoder: those of this run, or as stored."""
    return tuple(_features(work, step) for step in stage.features)


def _features(work: SlideWork, step: OutputKey) -> NDArray[np.float32]:
    values = work.features.get(step)
    if values is None:
        values = read_array(work.store.h5(work.stem, step.geometry), f"{FEATURES}/{step.encoder}")
    return values


def declared(stage: OutputSpec) -> tuple[SlideEncoder, Geometry]:
    """Return the encoder and the geometry of an embedding."""
    assert isinstance(stage.encoder, SlideEncoder)
    assert stage.geometry is not None
    return stage.encoder, stage.geometry

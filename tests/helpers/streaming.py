"""Batches of patches through several encoders, one after the other, as the pipeline sends them."""

from collections.abc import Iterable, Sequence

import numpy as np

from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
from atlaspatch_core.encoders.patch_encoders import PatchEncoders


def encode_batches(batches: Iterable[np.ndarray], encoders: Sequence[LoadedPatchEncoder]) -> dict[str, np.ndarray]:
    """Return encoder to features, rows in the order of the patches."""
    parts = [features for _, features in PatchEncoders(encoders).encode_stream(enumerate(batches))]
    names = [loaded.encoder.name for loaded in encoders]
    return {name: np.concatenate(rows) for name, rows in zip(names, zip(*parts, strict=True), strict=True)}

"""How much each patch counts in a slide embedding, as it is kept beside it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import NoAttention
from atlaspatch_core.storage.hdf5 import read_array, stored_fingerprint
from atlaspatch_core.storage.schema import attention_of


def read_attention(path: Path, embedding: str, fingerprint: str | None) -> NDArray[np.float32]:
    """Return the attention that goes with an embedding: float32 (n,), of several heads (n, heads), rows as in coords.

    Args:
        path: The slide's file.
        embedding: Path of the embedding in it, such as ``slide_features/feather``.
        fingerprint: That of the embedding.

    Raises:
        NoAttention: None of this very embedding is kept.
        UnreadableOutput, DamagedOutput: It cannot be read, or is not what was written.
    """
    name = attention_of(embedding)
    if fingerprint is None or stored_fingerprint(path, name) != fingerprint:
        raise NoAttention(
            f"{path.stem}: no attention of {embedding.partition('/')[2]} is kept in {path}; where the encoder pools by "
            "attention, run again with --keep-attention (keep_attention of the geometry), which computes it from "
            "stored features"
        )
    return read_array(path, name, fingerprint)

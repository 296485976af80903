"""TITAN: a transformer over the grid of patches (Ding et al. 2025, Nature Medicine)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.slide.calling import as_batch
from atlaspatch_core.encoders.slide.remote import RemoteSlideModel


@named("encode_titan")
def encode_titan(network: Any, features: NDArray[np.float32], coords: NDArray[np.int64], patch_size_level0: int) -> Any:
    """Return the embedding, shape (768,); coords and patch size go in as level-0 px."""
    rows, corners = as_batch(network, features, coords)
    return network.encode_slide_from_patch_features(rows, corners, int(patch_size_level0)).squeeze(0)


TITAN = SlideEncoder(
    name="titan",
    patch_encoder="conch_v15",
    dim=768,
    forward=encode_titan,
    architecture=RemoteSlideModel({"tie_word_embeddings": False}),
    source=HubWeights("MahmoodLab/TITAN", None, gated=True),
    precision="float16",
    license="CC-BY-NC-ND-4.0",
    gated=True,
    patch_size=512,
    magnification=20,
    extra="hub",
    homepage="https://huggingface.co/MahmoodLab/TITAN",
    note="Transformer over the grid of patches, aligned with pathology reports.",
)

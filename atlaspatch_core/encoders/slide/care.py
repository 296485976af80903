"""CARE: regions that follow the tissue, guided by RNA and protein profiles (arXiv:2602.21637)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.slide.calling import as_batch
from atlaspatch_core.encoders.slide.remote import RemoteSlideModel


@named("encode_care")
def encode_care(network: Any, features: NDArray[np.float32], coords: NDArray[np.int64], patch_size_level0: int) -> Any:
    """Return the embedding, shape (512,); coords go in as whole patches: column and row of the grid."""
    rows, corners = as_batch(network, features, coords)
    count = rows.new_full((1,), rows.shape[1])
    return network(rows, count, corners // int(patch_size_level0)).wsi_embedding.squeeze(0)


CARE = SlideEncoder(
    name="care",
    patch_encoder="conch_v15",
    dim=512,
    forward=encode_care,
    architecture=RemoteSlideModel(),
    source=HubWeights("Zipper-1/CARE", None, gated=True),
    license="CC-BY-NC-4.0",
    gated=True,
    patch_size=512,
    magnification=20,
    extra="hub",
    homepage="https://huggingface.co/Zipper-1/CARE",
    note="Regions that follow the tissue, learnt with RNA and protein profiles.",
)

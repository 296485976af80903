"""PRISM: a Perceiver over patch features, trained with clinical reports (Shaikovski et al. 2024, arXiv:2405.10254)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.slide.calling import as_batch
from atlaspatch_core.encoders.slide.remote import RemoteSlideModel


@named("encode_prism")
def encode_prism(
    network: Any,
    features: NDArray[np.float32],
    coords: NDArray[np.int64],
    patch_size_level0: int,  # noqa: ARG001
) -> Any:
    """Return the embedding, shape (1280,); where the patches lie does not matter."""
    rows, _ = as_batch(network, features, coords)
    return network.slide_representations(rows)["image_embedding"].squeeze(0)


PRISM = SlideEncoder(
    name="prism",
    patch_encoder="virchow_v1",
    dim=1280,
    forward=encode_prism,
    architecture=RemoteSlideModel({"tie_word_embeddings": False}, without="text_decoder"),
    source=HubWeights("paige-ai/Prism", None, gated=True),
    precision="float16",
    license="CC-BY-NC-ND-4.0",
    gated=True,
    patch_size=224,
    magnification=20,
    extra="hub",
    homepage="https://huggingface.co/paige-ai/Prism",
    note="Perceiver over Virchow features, trained with clinical reports; the decoder that writes them is not loaded.",
)

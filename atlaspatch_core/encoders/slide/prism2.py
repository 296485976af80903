"""PRISM2: a Perceiver over patch features, trained with questions and answers (Vorontsov 2026, arXiv:2506.13063).

It takes the class token alone of Virchow2, 1280 numbers. It has two embeddings: what the Perceiver gives, and what
its language model makes of that before it answers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder, SlideForward
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.slide.calling import as_batch
from atlaspatch_core.encoders.slide.remote import RemoteSlideModel


@named("encode_prism2")
def encode_prism2(
    network: Any,
    features: NDArray[np.float32],
    coords: NDArray[np.int64],
    patch_size_level0: int,  # noqa: ARG001
) -> Any:
    """Return the embedding of the Perceiver, shape (2560,); where the patches lie does not matter."""
    return network.get_base_embedding(**_arguments(network, features, coords)).squeeze(0)


@named("encode_prism2_diagnostic")
def encode_prism2_diagnostic(
    network: Any,
    features: NDArray[np.float32],
    coords: NDArray[np.int64],
    patch_size_level0: int,  # noqa: ARG001
) -> Any:
    """Return the state of the language model where its answer would begin, shape (3072,)."""
    return network.get_diagnostic_embedding(**_arguments(network, features, coords)).squeeze(0)


def _arguments(network: Any, features: NDArray[np.float32], coords: NDArray[np.int64]) -> dict[str, Any]:
    """Return features (1, n, 1280), and for each patch that it counts."""
    rows, _ = as_batch(network, features, coords)
    return {"tile_embeddings": rows, "attention_mask": rows.new_ones(rows.shape[:2]).int()}


REVISION = "450352d0ddc6b42b21ce20794ce0fbefe6b5a47a"
"""Whose code was looked at by those who wrote down how it is called; consent is to this one."""


def _prism2(name: str, dim: int, forward: SlideForward, architecture: RemoteSlideModel, note: str) -> SlideEncoder:
    return SlideEncoder(
        name=name,
        patch_encoder="virchow_v2_cls",
        dim=dim,
        forward=forward,
        architecture=architecture,
        source=HubWeights("paige-ai/Prism2", None, revision=REVISION, gated=True),
        precision="bfloat16",
        license="CC-BY-NC-ND-4.0",
        gated=True,
        patch_size=224,
        magnification=20,
        extra="hub",
        homepage="https://huggingface.co/paige-ai/Prism2",
        note=note,
        facts="dims, input and precision as slide2vec and raw2features call it; licence of the hub page",
    )


PRISM2 = (
    _prism2(
        "prism2",
        2560,
        encode_prism2,
        RemoteSlideModel(without="text_decoder"),
        "Perceiver over class tokens of Virchow2; the language model is not loaded. Needs flash-attn, and so CUDA.",
    ),
    _prism2(
        "prism2_diagnostic",
        3072,
        encode_prism2_diagnostic,
        RemoteSlideModel(),
        "State of PRISM2's language model before it answers, for diagnoses; 4.4 billion parameters, and flash-attn.",
    ),
)

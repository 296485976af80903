"""EAGLE: CHIEF's attention picks 25 patches, whose Virchow2 features are averaged (Neidlinger 2025, arXiv:2502.13027).

The makers' script (github.com/liux0614/EAGLE, ``eagle/main_feature_extraction.py``) takes the class token alone of
Virchow2, 1280 numbers, at 2 µm/px, and the features of the first CTransPath, not those of CHIEF's copy of it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.slide.attention import AttentionPool
from atlaspatch_core.encoders.slide.calling import as_batch
from atlaspatch_core.encoders.slide.chief import CHIEF, PAGE
from atlaspatch_core.encoders.weights import NotGiven, local_copy

PICKED = 25
"""Patches whose features are averaged; all where there are fewer."""


@named("encode_eagle")
def encode_eagle(
    network: Any,
    features: tuple[NDArray[np.float32], NDArray[np.float32]],
    coords: NDArray[np.int64],
    patch_size_level0: int,  # noqa: ARG001
) -> NDArray[np.float32]:
    """Return the embedding, shape (1280,), from CTransPath features (n, 768) and class tokens of Virchow2 (n, 1280)."""
    picked = picked_patches(network, features[0], coords)
    return features[1][picked].mean(axis=0, dtype=np.float64).astype(np.float32)


def eagle_attention(
    network: Any,
    features: tuple[NDArray[np.float32], NDArray[np.float32]],
    coords: NDArray[np.int64],
    patch_size_level0: int,  # noqa: ARG001
) -> NDArray[np.float32]:
    """Return how much each patch counts, shape (n,): the picked ones the same, all others nothing."""
    picked = picked_patches(network, features[0], coords)
    weights = np.zeros(len(coords), np.float32)
    weights[picked] = 1 / len(picked)
    return weights


def picked_patches(network: Any, features: NDArray[np.float32], coords: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the rows of the patches of most attention, from CTransPath features; of equals the first ones."""
    scores = network.scores(as_batch(network, features, coords)[0])[0].float().cpu().numpy()
    return np.argsort(-scores, kind="stable")[:PICKED]


EAGLE = SlideEncoder(
    name="eagle",
    patch_encoder="ctranspath-original",
    further_patch_encoders=("virchow_v2_cls",),
    dim=1280,
    forward=encode_eagle,
    attention=eagle_attention,
    architecture=AttentionPool(768, 512, 256, pools_features=True),
    source=NotGiven(f"get CHIEF_pretraining.pth from {PAGE} and name it: {local_copy('eagle')}"),
    adapt=CHIEF.adapt,
    license=CHIEF.license,
    patch_size=224,
    magnification=5,
    homepage="https://github.com/KatherLab/EAGLE",
    facts="`eagle/main_feature_extraction.py` of its makers, [liux0614/EAGLE](https://github.com/liux0614/EAGLE)",
    note="Mean of the Virchow2 class tokens of the 25 patches that CHIEF's attention picks, at 2 µm/px.",
)

"""What pools a slide's patch features and has learnt nothing, for every patch encoder: mean, largest value, or both."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder, SlideForward
from atlaspatch_core.encoders.declared_names import named

PREFIX = "mean-"
MAX = "max-"
MEAN_AND_MAX = "meanmax-"


@named("mean_of_patches")
def mean_of_patches(
    network: Any,  # noqa: ARG001
    features: NDArray[np.float32],
    coords: NDArray[np.int64],  # noqa: ARG001
    patch_size_level0: int,  # noqa: ARG001
) -> NDArray[np.float32]:
    """Return the mean over patches, shape (d,), summed in float64."""
    return features.mean(axis=0, dtype=np.float64).astype(np.float32)


@named("max_of_patches")
def max_of_patches(
    network: Any,  # noqa: ARG001
    features: NDArray[np.float32],
    coords: NDArray[np.int64],  # noqa: ARG001
    patch_size_level0: int,  # noqa: ARG001
) -> NDArray[np.float32]:
    """Return the largest value of each feature, shape (d,)."""
    return features.max(axis=0)


@named("mean_and_max_of_patches")
def mean_and_max_of_patches(
    network: Any, features: NDArray[np.float32], coords: NDArray[np.int64], patch_size_level0: int
) -> NDArray[np.float32]:
    """Return the mean over patches and then the largest values, shape (2 d,)."""
    arguments = network, features, coords, patch_size_level0
    return np.concatenate([mean_of_patches(*arguments), max_of_patches(*arguments)])


def mean_encoder(patch_encoder: PatchEncoder) -> SlideEncoder:
    """Return the slide encoder ``mean-<patch encoder>``, under the licence of the patch encoder."""
    return _pooling(patch_encoder, PREFIX, mean_of_patches, "Mean")


def max_encoder(patch_encoder: PatchEncoder) -> SlideEncoder:
    """Return the slide encoder ``max-<patch encoder>``, likewise."""
    return _pooling(patch_encoder, MAX, max_of_patches, "Largest value of each")


def mean_and_max_encoder(patch_encoder: PatchEncoder) -> SlideEncoder:
    """Return the slide encoder ``meanmax-<patch encoder>``, which gives twice as many numbers, likewise."""
    return _pooling(patch_encoder, MEAN_AND_MAX, mean_and_max_of_patches, "Mean, and then largest value,", times=2)


def _pooling(
    patch_encoder: PatchEncoder, prefix: str, forward: SlideForward, what: str, times: int = 1
) -> SlideEncoder:
    return SlideEncoder(
        name=f"{prefix}{patch_encoder.name}",
        patch_encoder=patch_encoder.name,
        dim=None if patch_encoder.dim is None else times * patch_encoder.dim,
        forward=forward,
        license=patch_encoder.license,
        gated=patch_encoder.gated,
        patch_size=None,
        homepage=patch_encoder.homepage,
        note=f"{what} of the {patch_encoder.name} features of all patches.",
    )

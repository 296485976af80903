"""``mean-<patch encoder>``: the mean of a slide's patch features."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder
from atlaspatch_core.encoders.declared_names import named

PREFIX = "mean-"


@named("mean_of_patches")
def mean_of_patches(
    network: Any,  # noqa: ARG001
    features: NDArray[np.float32],
    coords: NDArray[np.int64],  # noqa: ARG001
    patch_size_level0: int,  # noqa: ARG001
) -> NDArray[np.float32]:
    """Return the mean over patches, shape (d,), summed in float64."""
    return features.mean(axis=0, dtype=np.float64).astype(np.float32)


def mean_encoder(patch_encoder: PatchEncoder) -> SlideEncoder:
    """Return the slide encoder ``mean-<patch encoder>``, under the licence of the patch encoder."""
    return SlideEncoder(
        name=f"{PREFIX}{patch_encoder.name}",
        patch_encoder=patch_encoder.name,
        dim=patch_encoder.dim,
        forward=mean_of_patches,
        license=patch_encoder.license,
        gated=patch_encoder.gated,
        patch_size=None,
        homepage=patch_encoder.homepage,
        note=f"Mean of the {patch_encoder.name} features of all patches.",
    )

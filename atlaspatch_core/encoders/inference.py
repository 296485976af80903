"""From features of patches to a slide embedding, and to what each patch counts in it."""

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder, SlideForward
from atlaspatch_core.encoders.loaded import LoadedSlideEncoder, not_finite
from atlaspatch_core.errors import InvalidProject, NoPatches, WrongWeights

SlideFeatures = NDArray[np.float32] | tuple[NDArray[np.float32], ...]
"""Features (n, d) of a slide's patches, or such of several patch encoders."""


def set_threads(count: int) -> None:
    """Let torch and OpenCV compute with so many threads each; to be called once, at the entry of a process."""
    import cv2
    import torch

    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def encode_slide(
    loaded: LoadedSlideEncoder, features: SlideFeatures, coords: NDArray[np.integer], patch_size_level0: int
) -> NDArray[np.float32]:
    """Return the embedding of a slide, shape (dim,), float32, finite.

    ``features`` has shape (n, d), or is one such array a patch encoder, in the encoder's order; ``coords`` (n, 2), or
    more columns of which the first two are x, y of top-left corners in level-0 px; ``patch_size_level0`` is the side
    of a patch in level-0 px.
    Raises NoPatches when n = 0, WrongWeights when the dim is another than declared, NotFinite.
    """
    _check_features(loaded.encoder, features)
    return checked(loaded, _run(loaded, loaded.encoder.forward, features, coords, patch_size_level0))


def slide_attention(
    loaded: LoadedSlideEncoder, features: SlideFeatures, coords: NDArray[np.integer], patch_size_level0: int
) -> NDArray[np.float32]:
    """Return how much each patch counts in the embedding of a slide, float32 (n,), or (n, heads) of several heads.

    Takes what ``encode_slide`` takes, of an encoder that declares ``attention``. Raises WrongWeights where it gives
    another shape, NotFinite.
    """
    name, forward = loaded.encoder.name, loaded.encoder.attention
    assert forward is not None
    weights = _as_array(_run(loaded, forward, features, coords, patch_size_level0))
    if weights.ndim not in (1, 2) or len(weights) != len(coords) or not weights.size:
        raise WrongWeights(f"{name}: gave attention of shape {weights.shape} to {len(coords)} patches")
    if not np.isfinite(weights).all():
        raise not_finite(name, "attention", loaded.precision)
    return weights


def _run(
    loaded: LoadedSlideEncoder,
    forward: SlideForward,
    features: SlideFeatures,
    coords: NDArray[np.integer],
    patch_size_level0: int,
) -> object:
    """Return what a function of an encoder makes of a slide: it gets one array, or a tuple of several."""
    bags = features[0] if isinstance(features, tuple) and len(features) == 1 else features
    return loaded.run(forward, bags, np.asarray(coords[:, :2], np.int64), patch_size_level0)


def _check_features(encoder: SlideEncoder, features: SlideFeatures) -> None:
    """Raise InvalidProject where there is not one array a patch encoder, NoPatches where there are no rows to each."""
    bags, names = features if isinstance(features, tuple) else (features,), encoder.patch_encoders
    if len(bags) != len(names):
        whose = ", ".join(names)
        raise InvalidProject(f"{encoder.name}: {len(bags)} arrays of features were given; give those of {whose}")
    rows = sorted({len(bag) for bag in bags})
    if len(rows) > 1:
        counts = " and ".join(map(str, rows))
        raise NoPatches(f"{encoder.name}: features of {counts} patches were given; give one row a patch in each")
    if not rows[0]:
        raise NoPatches(
            f"{encoder.name}: a slide without patches has no embedding; lower min_tissue or leave the slide out"
        )


def checked(loaded: LoadedSlideEncoder, embedding: object) -> NDArray[np.float32]:
    """Return what an encoder gave, a tensor or an array, as an array (dim,), float32, finite.

    Raises WrongWeights when the dim is another than declared, NotFinite.
    """
    name, dim, vector = loaded.encoder.name, loaded.encoder.dim, _as_array(embedding)
    if vector.ndim != 1 or len(vector) != (dim or len(vector)):
        raise WrongWeights(f"{name}: gave an embedding of shape {vector.shape}, not ({dim},)")
    if not np.isfinite(vector).all():
        raise not_finite(name, "numbers", loaded.precision)
    return vector


def _as_array(embedding: object) -> NDArray[np.float32]:
    """Return a tensor on any device, or an array, as a float32 array."""
    from_tensor = getattr(embedding, "detach", None)
    return np.asarray(embedding if from_tensor is None else from_tensor().float().cpu().numpy(), np.float32)

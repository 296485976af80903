"""The thumbnail of a slide as the run stored it, and how it lies on the slide."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.interop.export.values import SlideResults
from atlaspatch_core.storage.checksums import bytes_sha256
from atlaspatch_core.storage.picture_provenance import PictureState, picture_state, provenance_mark


def read_thumbnail(slide: SlideResults) -> NDArray[np.uint8] | None:
    """Return the thumbnail, shape (height, width, 3), RGB, of the whole slide; None where none of this very slide lies.

    A picture that others made is not taken: nobody knows what part of the slide it shows.
    """
    import cv2

    path = _own_thumbnail(slide)
    if path is None:
        return None
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
    return None if picture is None else np.asarray(picture, np.uint8)


def thumbnail_digest(slide: SlideResults) -> str:
    """Return what tells the thumbnail from another; empty where there is none."""
    path = _own_thumbnail(slide)
    return bytes_sha256(path) if path else ""


def _own_thumbnail(slide: SlideResults) -> Path | None:
    path = slide.store.thumbnail(slide.stem)
    is_own = picture_state(path, provenance_mark(slide.slide)) is PictureState.CURRENT
    return path if slide.info is not None and is_own else None


def scale_of(picture: NDArray[np.uint8], slide: SlideResults) -> tuple[float, float]:
    """Return level-0 px per px of a picture of the whole slide, along x and y."""
    assert slide.info is not None
    return slide.info.width / picture.shape[1], slide.info.height / picture.shape[0]

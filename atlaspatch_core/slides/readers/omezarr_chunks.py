"""Which chunks of a Zarr store are stored; the others have its fill value."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.readers.omezarr_levels import find_image
from atlaspatch_core.slides.slide import SlideInfo


def stored_chunks(info: SlideInfo, number: int) -> tuple[NDArray[np.bool_], int, int] | None:
    """Return which chunks of a level lie in the store, (rows, columns), and their width and height, px of the level."""
    import zarr

    image, _ = find_image(info.path, zarr.open(str(info.path), mode="r"), info.series)
    size = info.levels[number].width, info.levels[number].height
    array = next((one for one in image.levels if image.axes.size(one.shape) == size), None)
    if array is None:
        return None
    side: Any = array.shards or array.chunks  # a shard is one file of many chunks
    width, height = image.axes.size(side)
    stored = np.ones((-(-size[1] // height), -(-size[0] // width)), bool)
    folder = info.path / array.path
    for row, column in product(range(stored.shape[0]), range(stored.shape[1])):
        at = {"y": row, "x": column}
        key = array.metadata.encode_chunk_key(tuple(at.get(letter, 0) for letter in image.axes.letters))
        stored[row, column] = Path(folder, key).exists()
    return stored, width, height

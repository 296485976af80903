"""Sqray SDPC through opensdpc, which wraps a decoder for Linux."""

import math
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.readers.images import check_only_image
from atlaspatch_core.slides.readers.reader import Reader, import_extra
from atlaspatch_core.slides.readers.windows import Window, WindowedSlide, describe
from atlaspatch_core.slides.slide import stem_of

NAME = "sdpc"
SUFFIX = ".sdpc"
MAGIC = b"SQ"
"""How SDPC begins."""


def recognises(path: Path) -> bool:
    """Say whether the file is an SDPC: two letters are little, so the suffix counts too."""
    return path.suffix.lower() == SUFFIX and begins_as_sdpc(path)


def begins_as_sdpc(path: Path) -> bool:
    """Say whether a file begins as SDPC files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def open_sdpc(path: Path, stated: StatedMpp, series: int | None = None) -> WindowedSlide:
    """Open an SDPC; one thread at a time reads it, for its decoder does not say that more may."""
    stem = stem_of(path)
    library = import_extra("opensdpc", "sdpc", stem)
    if not recognises(path):
        raise UnreadableSlide(
            f"{stem}: {path.name} is no SDPC, or not called {SUFFIX}; leave out the reader, or {COPY}"
        )
    check_only_image(path, series)
    try:
        file = library.OpenSdpc(str(path))
        sizes = [(int(width), int(height)) for width, height in file.level_dimensions]
        info = describe(path, NAME, sizes, properties_of(file), stated)
    except (ValueError, RuntimeError, AttributeError, OSError) as error:
        raise UnreadableSlide(f"{stem}: {path.name} is cut short or damaged ({error}); {COPY}") from error
    read = partial(read_window, file, Lock())
    return WindowedSlide(info, read, file.close)


def properties_of(file: Any) -> dict[str, str]:
    """Return the scale ("ruler", µm per px) and the magnification of the scan."""
    ruler = file.sdpc.contents.picHead.contents.ruler
    return {"sdpc.vendor": "sqray", "sdpc.ruler": repr(float(ruler)), "sdpc.rate": str(file.scan_magnification)}


def read_window(file: Any, lock: Lock, window: Window) -> NDArray[np.uint8]:
    """Return the RGB pixels of a window, shape (height, width, 3)."""
    downsample = file.level_downsamples[window.level]
    corner = [first_px_level0(side, downsample) for side in (window.left, window.top)]
    with lock:
        return np.asarray(file.read_region(corner, window.level, (window.width, window.height)))


def first_px_level0(position: int, downsample: float) -> int:
    """Return the smallest level-0 position that the library, which rounds down, takes for a px of a level."""
    least = math.ceil(position * downsample)
    return least if int(least / downsample) == position else least + 1


SDPC = Reader(name=NAME, suffixes=(SUFFIX,), recognises=recognises, open=open_sdpc)

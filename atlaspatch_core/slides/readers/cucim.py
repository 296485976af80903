"""Aperio and generic tiled TIFF through cuCIM, on the processor; only where it is asked for by name."""

import math
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.readers.damage import refuse_damage
from atlaspatch_core.slides.readers.openslide_tiff import choose_tiff_levels
from atlaspatch_core.slides.readers.reader import Reader, import_extra
from atlaspatch_core.slides.readers.selected_levels import select_levels
from atlaspatch_core.slides.readers.tiff import sections_of
from atlaspatch_core.slides.readers.windows import Window, WindowedSlide, describe
from atlaspatch_core.slides.slide import Slide, stem_of

NAME = "cucim"
DEFLATE = (8, 32946)
"""TIFF tag Compression."""
WITHOUT_READER = "leave out the reader, so that another is found"


def only_by_name(path: Path) -> bool:  # noqa: ARG001 - the answer is the same for all
    """Say that cuCIM is no reader to be chosen by content: others read all that it reads."""
    return False


def open_cucim(path: Path, stated: StatedMpp, series: int | None = None) -> Slide:
    """Open a TIFF that cuCIM knows."""
    stem = stem_of(path)
    library = import_extra("cucim", "cucim", stem)
    check_compression(path)
    try:
        image = library.CuImage(str(path))
        image.read_region((0, 0), (1, 1), 0)  # only here it says what it cannot decode
        sizes = [tuple(size) for size in image.resolutions["level_dimensions"]]
        properties = properties_of(image.metadata)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise UnreadableSlide(
            f"{stem}: cuCIM cannot open {path.name} ({error}); {WITHOUT_READER}, or {COPY}"
        ) from error
    with ExitStack() as opened:
        opened.callback(image.close)
        chosen = choose_tiff_levels(path, sizes, series, "cuCIM")
        info = describe(path, NAME, sizes, properties, stated)
        slide = WindowedSlide(info, partial(read_window, image, info.levels), opened.pop_all().close)
    return select_levels(slide, chosen.numbers, chosen.notes)


def check_compression(path: Path) -> None:
    """Raise UnreadableSlide for what is no whole TIFF, and for Deflate with a predictor: cuCIM 26.10 crashes on it."""
    import tifffile

    from atlaspatch_core.slides.readers.tiff_levels import check_chain

    what, cure = f"{stem_of(path)}: {path.name} is no whole TIFF", f"{WITHOUT_READER}, or {COPY}"
    with (
        refuse_damage(lambda error: f"{what} ({error}), and cuCIM reads nothing else; {cure}"),
        tifffile.TiffFile(path) as tiff,
    ):
        check_chain(path, tiff)
        page = tiff.pages.first
        crashes = page.compression in DEFLATE and page.predictor != 1
        has_alpha = page.samplesperpixel > 3
    if has_alpha:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} has {page.samplesperpixel} samples a pixel, of which cuCIM shows three as "
            f"if there were no others; {WITHOUT_READER}"
        )
    if crashes:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} is compressed with Deflate and a predictor, on which cuCIM crashes; "
            f"{WITHOUT_READER}"
        )


def properties_of(metadata: dict[str, Any]) -> dict[str, str]:
    """Return what cuCIM says of Aperio's list and of the TIFF's resolution."""
    aperio, tiff = metadata.get("aperio", {}), metadata.get("tiff", {})
    properties = {f"aperio.{key}": str(value) for key, value in aperio.items()}
    properties |= {"aperio.vendor": "aperio"} if aperio else {}
    return properties | {
        "tiff.make": str(tiff.get("make", "")),
        "tiff.model": str(tiff.get("model", "")),
        "tiff.ImageDescription": str(tiff.get("image_description", "")),
        "tiff.XResolution": str(tiff.get("x_resolution", "")),
        "tiff.ResolutionUnit": str(tiff.get("resolution_unit", "")),
    }


def read_window(image: Any, levels: tuple[Any, ...], window: Window) -> NDArray[np.uint8]:
    """Return the RGB pixels of a window, shape (height, width, 3)."""
    downsample = levels[window.level].downsample
    corner = [math.ceil(side * downsample) for side in (window.left, window.top)]  # level 0; the library rounds down
    pixels = np.asarray(image.read_region(corner, (window.width, window.height), window.level))
    return np.ascontiguousarray(pixels[..., :3])


CUCIM = Reader(name=NAME, suffixes=(), recognises=only_by_name, open=open_cucim, sections=sections_of)

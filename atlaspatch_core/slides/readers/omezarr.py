"""OME-Zarr through zarr: NGFF 0.1 to 0.5 in Zarr 2 and 3 stores, and plain pyramids without NGFF."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.channels import check_grey, colour_order
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.readers.blocks import Blocks
from atlaspatch_core.slides.readers.claims import check_chunks
from atlaspatch_core.slides.readers.damage import refuse_damage
from atlaspatch_core.slides.readers.images import planes_note
from atlaspatch_core.slides.readers.omezarr_levels import Axes, Image, find_image, find_sections
from atlaspatch_core.slides.readers.reader import Reader, import_extra
from atlaspatch_core.slides.readers.windows import WindowedSlide, describe
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.slides.tiles.wholeness import MOST_BLOCK_BYTES

NAME = "omezarr"
IN_ORDER = (0, 1, 2)
METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Files that a Zarr group or array begins with (version 3, version 2)."""


def recognises(path: Path) -> bool:
    """Say whether the folder is a Zarr store."""
    return path.is_dir() and any((path / name).is_file() for name in METADATA)


def is_store(path: Path) -> bool:
    """Say whether the folder is called a Zarr store."""
    return path.suffix.lower() == ".zarr"


def open_zarr(path: Path, stated: StatedMpp, series: int | None = None) -> WindowedSlide:
    """Open an image of a store, the largest: 8-bit RGB or grey; the first time point, the middle focal plane."""
    with opened_store(path) as store:
        image, others = find_image(path, store, series)
        check_pixels(stem_of(path), image.levels, image.axes)
        order = order_of(stem_of(path), image)
        sizes = [image.axes.size(level.shape) for level in image.levels]
        notes = (*others, *planes_of(image))
        reading = "" if order == IN_ORDER else f"channels {' '.join(map(str, order))} as red, green, blue"
        info = describe(path, NAME, sizes, image.properties, stated, notes=notes, reading=reading)
    chunks = [image.axes.size(level.chunks) for level in image.levels]
    for size, chunk in zip(sizes, chunks, strict=True):
        check_chunks(path, size, chunk)
    blocks = Blocks(chunks, partial(read_block, image.levels, image.axes, order))
    return WindowedSlide(info, blocks.read, blocks.forget)


def sections_of(path: Path) -> tuple[int, ...]:
    """Return the numbers of the scans of a store that holds several. Raises UnreadableSlide, MissingExtra."""
    with opened_store(path) as store:
        return find_sections(path, store)


@contextmanager
def opened_store(path: Path) -> Iterator[Any]:
    """Give the root of a store. Raises UnreadableSlide, also of damage that is met while it is open; MissingExtra."""
    what = f"{stem_of(path)}: {path.name} is no Zarr store"
    library = import_extra("zarr", "omezarr", stem_of(path))
    register_codecs()
    if not recognises(path):
        raise UnreadableSlide(f"{what} (none of {', '.join(METADATA)} in it); {COPY}")
    with refuse_damage(lambda error: f"{what} that can be read ({error}); {COPY}"):
        yield library.open(str(path), mode="r")


def register_codecs() -> None:
    """Let Zarr 2 arrays be compressed by imagecodecs: JPEG, JPEG 2000, WebP and others."""
    from imagecodecs import numcodecs

    numcodecs.register_codecs(verbose=False)


def check_pixels(stem: str, levels: list[Any], axes: Axes) -> None:
    """Raise UnreadableSlide for anything but 8-bit RGB or grey, and for chunks that are too large."""
    channels, kind = axes.channels(levels[0].shape), levels[0].dtype
    if channels not in (1, 3) or kind != np.uint8:
        raise UnreadableSlide(
            f"{stem}: it has {channels} channels of {kind}; only RGB or grey of uint8 can be shown as it is, so export "
            f"it as 8-bit RGB"
        )
    width, height = max((axes.size(level.chunks) for level in levels), key=np.prod)
    if width * height * 3 > MOST_BLOCK_BYTES:
        raise UnreadableSlide(
            f"{stem}: its chunks are {width} × {height} px, and every read would decode one (at most "
            f"{MOST_BLOCK_BYTES:,} bytes); write it anew with chunks of 256 to 1,024 px"
        )


def order_of(stem: str, image: Image) -> tuple[int, int, int]:
    """Return where red, green and blue stand among the channels, as their names and colours say.

    Raises UnreadableSlide where they say that the image is no brightfield.
    """
    channels, stated = image.axes.channels(image.levels[0].shape), image.channels
    names, colours = [name for name, _ in stated], [colour for _, colour in stated]
    try:
        if len(stated) == channels == 3:
            return colour_order(names, colours)
        if len(stated) == 1:
            check_grey(names[0], colours[0] if channels == 1 else "")
        elif stated:
            raise ValueError(f"{channels} channels and names of {len(stated)}: {', '.join(names)}")
    except ValueError as error:
        raise UnreadableSlide(
            f"{stem}: it has {error}, which is fluorescence, or no red, green and blue; only brightfield can be shown "
            f"as it is, so export it as 8-bit RGB"
        ) from error
    return IN_ORDER


def planes_of(image: Image) -> tuple[str, ...]:
    """Return clauses on the focal plane and the time point that are shown, where there are several."""
    sizes = dict(zip(image.axes.letters, image.levels[0].shape, strict=True))
    planes, times = int(sizes.get("z", 1)), int(sizes.get("t", 1))
    return (*planes_note(planes, planes // 2 + 1), *planes_note(times, 1, "time points"))


def read_block(
    levels: list[Any], axes: Axes, order: tuple[int, int, int], number: int, row: int, column: int
) -> NDArray[np.uint8]:
    """Return the RGB pixels of a chunk, cropped where the level ends."""
    level = levels[number]
    width, height = axes.size(level.chunks)
    pixels = axes.image(level[axes.index(level.shape, column * width, row * height, width, height)])
    colours = pixels if pixels.shape[2] == 1 or order == IN_ORDER else pixels[..., order]
    return np.ascontiguousarray(np.broadcast_to(colours, (*colours.shape[:2], 3)))


OMEZARR = Reader(
    name=NAME,
    suffixes=(".zarr",),
    recognises=recognises,
    open=open_zarr,
    is_folder=is_store,
    sections=sections_of,
)

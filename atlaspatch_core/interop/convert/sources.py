"""What is converted: a slide through its reader, or an ordinary picture of any size through libvips."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.interop.convert.colours import as_rgb, check_picture, check_tiff
from atlaspatch_core.interop.convert.strips import slide_image
from atlaspatch_core.interop.convert.vips import reason, vips
from atlaspatch_core.slides.isolated import call_reader
from atlaspatch_core.slides.mpp import Mpp, StatedMpp, find_scale
from atlaspatch_core.slides.readers import check_file
from atlaspatch_core.slides.readers.claims import check_claim, file_sizes
from atlaspatch_core.slides.readers.images import check_only_image
from atlaspatch_core.slides.sections import ALL
from atlaspatch_core.slides.slide import Region, Slide

LOOKED_AT = "while its colours were looked at"
MAGIC = {
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".webp": (b"RIFF",),
    ".gif": (b"GIF87a", b"GIF89a"),
}
"""Suffixes and first bytes of pictures that libvips decodes from top to bottom without holding them."""


@dataclass(frozen=True, slots=True)
class PixelSource:
    """The pixels of a slide, in libvips and out of it."""

    width: int
    height: int
    mpp: float
    """µm per px."""
    image: Callable[[Callable[[], None]], AbstractContextManager[Any]]
    """Gives a libvips image, 8-bit RGB, to be read once from top to bottom; the argument is called now and then, and
    may raise to end it."""
    region: Callable[[int, int, int, int], NDArray[np.uint8]]
    """Returns the RGB pixels at x, y of so many columns and rows, all within the slide, read anew."""
    notes: tuple[str, ...] = ()
    """What is odd about the slide, a clause each."""


@contextmanager
def open_pixels(source: SlideSource) -> Iterator[PixelSource]:
    """Give the pixels of a slide.

    Raises UnreadableSlide, also for colours that 8-bit RGB cannot hold; UnknownScale, ImplausibleScale.
    """
    check_file(source.path)
    if is_picture(source.path):
        check_only_image(source.path, None if source.series == ALL else source.series)
        yield _of_picture(source)
        return
    call_reader(source.stem, LOOKED_AT, check_tiff, source.stem, source.path, source.series)
    call_reader(source.stem, LOOKED_AT, check_picture, source.stem, source.path)
    with open_source(source, Slides()) as slide:
        yield _of_slide(slide, source.notes)


def is_picture(path: Path) -> bool:
    """Tell whether a file is a plain picture that libvips decodes: by suffix and first bytes.

    Vendors put JPEGs at the head of files with other suffixes, which are not pictures.
    """
    heads = MAGIC.get(path.suffix.lower(), ())
    if not heads or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8).startswith(heads)


def _of_slide(slide: Slide, notes: tuple[str, ...]) -> PixelSource:
    def region(x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        return slide.read_region(Region(x, y, 0, width, height))

    info = slide.info
    notes = (*notes, *info.notes)
    return PixelSource(info.width, info.height, info.mpp, lambda check: slide_image(slide, check), region, notes)


def _of_picture(source: SlideSource) -> PixelSource:
    stated = StatedMpp(None if source.mpp is None else Mpp(source.mpp, source.mpp_source))
    scale = find_scale(source.stem, {}, stated)

    @contextmanager
    def image(check: Callable[[], None]) -> Iterator[Any]:
        check()
        yield _load(source)

    def region(x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        return _load(source).crop(x, y, width, height).numpy()

    first = _load(source)
    check_claim(source.path, (first.width, first.height), file_sizes(source.path))
    return PixelSource(first.width, first.height, scale.mpp.value, image, region, source.notes)


def _load(source: SlideSource) -> Any:
    """Return a picture as RGB, decoded as it is read. Dots per inch in the file are no scale and are not looked at."""
    try:
        image = vips().Image.new_from_file(str(source.path), access="sequential", fail_on="error")
    except vips().Error as error:
        raise UnreadableSlide(
            f"{source.stem}: {source.path.name} cannot be decoded ({reason(error)}); copy it again"
        ) from error
    return as_rgb(source.stem, source.path, image)

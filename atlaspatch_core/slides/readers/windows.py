"""A slide out of windows: what a reader decodes inside a level, with white around it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.mpp import SlideScale, StatedMpp, find_scale
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.readers.damage import DAMAGED_PIXELS
from atlaspatch_core.slides.readers.labels import institution_of, stain_of, vendor_of
from atlaspatch_core.slides.slide import Level, Region, Slide, SlideInfo, stem_of


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle that lies within a level."""

    level: int
    left: int
    """px of ``level``."""
    top: int
    """px of ``level``."""
    width: int
    """px of ``level``, at least 1."""
    height: int
    """px of ``level``, at least 1."""


ReadWindow = Callable[[Window], NDArray[np.uint8]]
"""Return the RGB pixels of a window, shape (height, width, 3), transparent ones over white. Safe from several threads.

Raises UnreadableSlide; errors of ``DAMAGED_PIXELS`` are taken for that.
"""


@final
class WindowedSlide(Slide):
    """A slide of which a function reads windows. Owns what ``close`` releases."""

    def __init__(self, info: SlideInfo, read: ReadWindow, close: Callable[[], object]) -> None:
        self._info = info
        self._read = read
        self._close = close

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._info

    def read_region(self, region: Region) -> NDArray[np.uint8]:
        """Return RGB pixels (height, width, 3), white outside the slide.

        Between pixels of a coarser level, the nearest ones are taken.
        """
        level = self._info.levels[region.level]
        x, y = (nearest(at, along) for at, along in zip((region.x, region.y), level.downsamples, strict=True))
        left, top = max(x, 0), max(y, 0)
        width, height = min(x + region.width, level.width) - left, min(y + region.height, level.height) - top
        result = np.full((region.height, region.width, 3), 255, np.uint8)
        if width > 0 and height > 0:
            window = Window(region.level, left, top, width, height)
            result[top - y : top - y + height, left - x : left - x + width] = self._pixels(region, window)
        return result

    def close(self) -> None:
        """Release the file."""
        self._close()

    def _pixels(self, region: Region, window: Window) -> NDArray[np.uint8]:
        try:
            return self._read(window)
        except DAMAGED_PIXELS as error:
            raise UnreadableSlide(
                f"{self._info.stem}: the pixels at ({region.x}, {region.y}) of level {region.level} cannot be decoded "
                f"({error}), the file is damaged or cut short; {COPY}"
            ) from error


def nearest(position_level0: int, downsample: float) -> int:
    """Return the px of a level that begins nearest to a level-0 position along one axis; halves go up."""
    return int(np.floor(position_level0 / downsample + 0.5))


def describe(
    path: Path,
    reader: str,
    sizes: Sequence[tuple[int, int]],
    properties: Mapping[str, str],
    stated: StatedMpp,
    *,
    notes: Sequence[str] = (),
    reading: str = "",
) -> SlideInfo:
    """Return what is known of a slide with levels of these ``sizes`` (width, height), finest first.

    ``properties`` are named as in ``atlaspatch_core.slides.mpp`` and ``labels``; ``stated`` is what the user says.
    Raises UnknownScale or ImplausibleScale.
    """
    scale = find_scale(stem_of(path), properties, stated, sizes[0])
    return SlideInfo(
        stem=stem_of(path),
        path=path,
        reader=reader,
        levels=levels_of(sizes),
        mpp=scale.mpp.value,
        mpp_source=scale.mpp.source,
        magnification=scale.magnification,
        magnification_source=scale.magnification_source,
        vendor=vendor_of(properties),
        institution=institution_of(properties),
        stain=stain_of(properties),
        scale_note=scale.note,
        file_px=file_px_of(scale),
        notes=tuple(notes),
        reading=reading,
        properties=properties,
    )


def file_px_of(scale: SlideScale) -> tuple[float, float]:
    """Return how many px of the file a square px of the longer side holds along x and y; 1 where they are square."""
    return (scale.mpp.value / scale.sides[0], scale.mpp.value / scale.sides[1]) if scale.sides else (1.0, 1.0)


def levels_of(sizes: Sequence[tuple[int, int]]) -> tuple[Level, ...]:
    """Return levels of these sizes, finest first."""
    return tuple(Level.of(size, sizes[0]) for size in sizes)


def unscaled(path: Path, sizes: Sequence[tuple[int, int]]) -> SlideInfo:
    """Return what is needed to compare levels, without a scale."""
    return SlideInfo(stem_of(path), path, "", levels_of(sizes), 1.0, "none", 10.0, "none")

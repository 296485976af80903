"""The slide: its levels, its scale, and reading a region of it."""

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

TWO_PART_SUFFIXES = (".ome.tiff", ".ome.tif", ".ome.zarr")
"""Suffixes with a dot inside."""
NamesOf = Callable[[str], Sequence[str]]
"""Returns what files about a slide may be called, its stem first."""
HALF_PX = 0.5
"""Of a level: where patches begin between its px, the nearest are read anyway."""


def stem_of(path: PurePath) -> str:
    """Return the file name without its suffix: the key of the slide everywhere.

    Digits after the last dot are no suffix: folders of DICOM instances are often called by their UID, 1.2.840.10008.
    """
    name = path.name
    if path.suffix[1:].isdigit():
        return name
    if name.lower().endswith(TWO_PART_SUFFIXES):
        return name.rsplit(".", 2)[0]
    return path.stem


def only_stem(stem: str) -> tuple[str, ...]:
    """Return what files about a slide are called where it has no other name than its stem."""
    return (stem,)


def folded(name: str) -> str:
    """Return a name without what spreadsheets and file systems change: capitals, and how accents are composed."""
    return unicodedata.normalize("NFC", name).casefold()


@dataclass(frozen=True, slots=True)
class Level:
    """One stored resolution of a slide."""

    width: int
    """px of this level."""
    height: int
    """px of this level."""
    downsample: float
    """Level-0 px per px of this level, ≥ 1, seldom a whole number; where the axes differ, their mean."""
    axes: tuple[float, float] | None = None
    """The same along x and y, where one number for both would misplace the far end by half a px or more.

    Sides are rounded to whole px, so that of a long strip the short side's ratio is far off.
    """

    @property
    def downsamples(self) -> tuple[float, float]:
        """Level-0 px per px of this level, along x and along y."""
        return self.axes or (self.downsample, self.downsample)

    @classmethod
    def of(cls, size: tuple[int, int], whole: tuple[int, int], stated: float | None = None) -> Self:
        """Return a level of this ``size`` of a slide of the ``whole`` size, both (width, height).

        Its downsample is the mean of both sides' ratios, as OpenSlide has it, or the ``stated`` one where that is
        another: then it holds for both axes.
        """
        (width, height), across, down = size, whole[0] / size[0], whole[1] / size[1]
        mean = (across + down) / 2
        if stated is not None and not math.isclose(stated, mean, rel_tol=1e-6):
            return cls(width, height, stated)
        off = max(abs(width - whole[0] / mean), abs(height - whole[1] / mean))
        return cls(width, height, stated or mean, (across, down) if off >= HALF_PX else None)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle to read."""

    x: int
    """Left edge, level-0 px; may be negative."""
    y: int
    """Top edge, level-0 px; may be negative."""
    level: int
    width: int
    """px of ``level``."""
    height: int
    """px of ``level``."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The part of a slide that was scanned, as its maker states it (``openslide.bounds-x`` …); level-0 px."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width} × {self.height} px from ({self.x}, {self.y})"


class OutlineFrame(NamedTuple):
    """From where outlines count, and in which px: as QuPath does, which shows the px of the file."""

    x: int = 0
    """Of the corner of the slide's bounds, level-0 px."""
    y: int = 0
    across: float = 1.0
    """px of the file on a level-0 px along x; 1 but for pixels that were made square."""
    down: float = 1.0
    """The same along y."""


WHOLE_SLIDE = OutlineFrame()
"""Outlines count from the slide's corner, in level-0 px."""


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """What is known of a slide without reading pixels."""

    stem: str
    """File name without suffix (``.ome.tiff`` counts as one): the key of the slide everywhere."""
    path: Path
    reader: str
    """Name of the reader that opened it."""
    levels: tuple[Level, ...]
    """Finest first; never empty."""
    mpp: float
    """µm per px of level 0, plausible."""
    mpp_source: str
    """Where ``mpp`` was found: a property name, ``mpp csv``, ``command line`` …"""
    magnification: float
    """Nominal objective magnification: the stated one, or else that of the mpp bucket; 40 for 40x."""
    magnification_source: str
    vendor: str | None = None
    institution: str | None = None
    stain: str | None = None
    scale_note: str = ""
    """What is odd about the scale, yet no reason to refuse the slide: one clause, or empty."""
    bounds: Bounds | None = None
    """What QuPath shows of the slide, where that is not all of it: its coordinates count from the corner of these."""
    notes: tuple[str, ...] = ()
    """What a person should know of the slide, a clause each: what else the file holds, what was left out."""
    series: int | None = None
    """Which image of the file was asked for (``--series``); None: the largest was taken."""
    reading: str = ""
    """What was taken of the file, where that is less than it offers, or in another order; part of the identity."""
    file_px: tuple[float, float] = (1.0, 1.0)
    """px of the file on a level-0 px, along x and y; 1 but where pixels that are not square were made so."""
    file_levels: tuple[Level, ...] = ()
    """The levels as the file stores them, where its pixels were made square; empty where ``levels`` are these."""
    plugin: str | None = None
    """sha256 of the plugin file whose reader opened it; part of the identity."""
    properties: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """What the file says of itself, by the reader's names; not kept in records."""

    def warnings(self, *, has_scale: bool = True) -> tuple[str, ...]:
        """Return what a person should know of the slide; of its scale, unless that is none (``has_scale``)."""
        return (*self.notes, *((self.scale_note,) if self.scale_note and has_scale else ()))

    @property
    def corner(self) -> tuple[int, int]:
        """x, y of the corner from which QuPath counts, level-0 px."""
        return (self.bounds.x, self.bounds.y) if self.bounds else (0, 0)

    @property
    def outline_frame(self) -> OutlineFrame:
        """From where outlines of the slide count, and in which px."""
        return OutlineFrame(*self.corner, *self.file_px)

    @property
    def as_stored(self) -> Self:
        """The same slide, its levels and px as the file stores them."""
        return replace(self, levels=self.file_levels, file_levels=(), file_px=(1.0, 1.0)) if self.file_levels else self

    def with_one_downsample(self) -> Self:
        """Return the same slide, each level of one downsample for both axes, as OpenSlide places regions."""
        return replace(self, levels=tuple(replace(level, axes=None) for level in self.levels))

    @property
    def width(self) -> int:
        """px of level 0."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """px of level 0."""
        return self.levels[0].height


class Slide(Protocol):
    """An open slide; a context manager that closes it. Reading is safe from several threads.

    Example:
        >>> pixels = slide.read_region(Region(x=-16, y=0, level=0, width=64, height=32))
        >>> pixels.shape, pixels[0, :17].min(axis=1).tolist() == [255] * 16 + [pixels[0, 16].min()]
        ((32, 64, 3), True)
    """

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        ...

    def read_region(self, region: Region) -> NDArray[np.uint8]:
        """Return RGB pixels, shape (region.height, region.width, 3).

        Transparent pixels show the slide's background colour; outside the slide everything is white.
        Raises UnreadableSlide when the pixels cannot be decoded.
        """
        ...

    def without_alpha(self) -> "Slide":
        """Return this slide, not to be closed, as tools show it that drop OpenSlide's alpha.

        What is transparent is black then, or whatever colour lies under it. Other readers' slides are what they are.
        """
        return self

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""What is found in a slide's file."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.slides.stated_scales import DescribedPage


@dataclass(frozen=True, slots=True)
class FilePart:
    """One picture that a file holds: a page, an array, an instance, an associated image."""

    kind: str
    """``page``, ``array``, ``instance``, ``scene``, ``picture``, ``level`` or ``associated image``."""
    name: str
    """How it is called in the file: a page by its number from 0, ``0/1`` for the second reduction of page 0."""
    width: int
    """px."""
    height: int
    """px."""
    tile: tuple[int, int] | None = None
    """Width and height of what is decoded at once, px; None where that is not known, or all of it."""
    compression: str = ""
    samples: int | None = None
    """Per pixel, alpha included."""
    bits: int | None = None
    """Of a sample."""
    colours: str = ""
    """How samples are meant, as the format names it: RGB, YCBCR, MINISBLACK."""
    has_alpha: bool = False
    role: str = ""
    """``level``, ``scan``, ``reduction``, ``plane``, ``label``, ``macro``, ``thumbnail``, ``mask``, ``picture``,
    ``piece`` of a mosaic, or ``damaged``."""
    level: int | None = None
    """Which level of the slide it is."""
    series: int | None = None
    """By which number ``--series`` takes it."""


@dataclass(frozen=True, slots=True)
class FileContents:
    """All pictures of a file."""

    parts: tuple[FilePart, ...] = ()
    focal_planes: int = 1
    time_points: int = 1
    icc_profile: bytes = b""
    """Of level 0; empty where there is none. It is not applied."""
    unknown: str = ""
    """Why nothing can be said."""

    def of_level(self, number: int) -> FilePart | None:
        """Return the part that is a level of the slide."""
        return next((part for part in self.parts if part.level == number), None)


class ReaderChoice(StrEnum):
    """What became of a reader."""

    TAKEN = "taken"
    DECLINED = "declined"
    """It was asked, and refused."""
    NOT_ASKED = "not asked"
    """Another was taken, or refused for all."""
    UNKNOWN = "unknown"
    """It does not know the content."""


@dataclass(frozen=True, slots=True)
class ReaderVerdict:
    """What became of one reader, and why."""

    name: str
    choice: ReaderChoice
    why: str
    """A clause or a sentence."""


@dataclass(frozen=True, slots=True)
class StatedScale:
    """What is said of the width of a pixel in one place."""

    source: str
    x: float
    """µm per px of level 0."""
    y: float
    origin: str
    """``text``, ``tags``, ``scanner``, ``user``, ``named`` for a property that the user named, or ``derived`` from the
    magnification or from another page."""
    counts: bool


@dataclass(frozen=True, slots=True)
class StatedMagnification:
    """What is said of the magnification in one place."""

    source: str
    value: float
    """40 for 40x."""
    counts: bool


@dataclass(frozen=True, slots=True)
class FileInspection:
    """What a slide's file holds, what is taken of it, and why."""

    stem: str
    path: Path
    files: int
    """How many the slide consists of."""
    size_bytes: int
    """Of all of them."""
    readers: tuple[ReaderVerdict, ...]
    """In the order in which they are asked."""
    contents: FileContents
    info: SlideInfo | None = None
    """What opening gives; None where nothing opens it."""
    has_scale: bool = False
    """Whether the scale of ``info`` is the slide's; where it is refused for that, a stand-in is."""
    error: str = ""
    """Why the slide is refused, cannot be read, or has a name that results cannot carry; empty where all is well."""
    scales: tuple[StatedScale, ...] = ()
    magnifications: tuple[StatedMagnification, ...] = ()
    described_page: DescribedPage | None = None
    """The page that the file's text is about, as far as it says so."""
    warnings: tuple[str, ...] = ()
    absent_tiles: tuple[int, ...] = ()
    """How many tiles of each level are not stored, and shown as background."""

"""What a file itself says of the width of its pixels: every statement, and the page that its text describes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from atlaspatch_core.slides.lengths import um_of
from atlaspatch_core.texts import parse_number

LEAST_MPP, MOST_MPP = 0.05, 20.0
"""µm per px of level 0. A 100x oil scan has 0.1, a slide read by a film scanner about 5."""
UM_TIMES_MAGNIFICATION = 10.0
"""µm per px × magnification of a usual scan: 0.5 at 20x, 0.25 at 40x."""
SQUARE = 0.01
"""Relative difference of x and y below which a pixel is square."""
AGREEMENT = 1.05
"""Statements of one scale differ by less than this factor: by rounding, and a nominal one from a measured one. A level
so close to the target is read as it is, so that the choice among them changes little."""
SAME_NUMBER = 1.001
"""Rounding of one number in two properties, such as 0.2527 and 0.252731."""

SIDES = (
    ("openslide.mpp-x", "openslide.mpp-y"),
    ("ome.PhysicalSizeX", "ome.PhysicalSizeY"),
    ("ngff.scale-x", "ngff.scale-y"),
    ("czi.Scaling-X", "czi.Scaling-Y"),
    ("dicom.PixelSpacing-x", "dicom.PixelSpacing-y"),
)
"""Properties that state width and height of a px, µm, each pair by another reader."""
DIRECT_KEYS = (*chain(*SIDES), "openslide.mirax.MPP", "aperio.MPP", "hamamatsu.XResolution", "sdpc.ruler")
TEXT_KEYS = ("openslide.comment", "tiff.ImageDescription")
TAG_KEYS = ("tiff.XResolution", "tiff.YResolution")
MAGNIFICATION_KEYS = (
    "openslide.objective-power", "aperio.AppMag", "hamamatsu.SourceLens", "ome.NominalMagnification",
    "czi.NominalMagnification", "dicom.ObjectiveLensPower", "sdpc.rate",
)  # fmt: skip
UM_PER_UNIT = {"centimeter": 10_000.0, "inch": 25_400.0}
MPP_IN_TEXT = re.compile(
    r"(?:\bmpp|microns per pixel)[\"']?\s*[=:]\s*([0-9]+(?:[.,][0-9]+)?(?:e[+-]?[0-9]+)?)", re.IGNORECASE
)
UNIT_OF_IMAGEJ = re.compile(r"ImageJ=.*?^unit=(\S+)", re.DOTALL | re.MULTILINE)
"""What ImageJ counts pixels per in the resolution tags, which name no unit then."""
SIZE_IN_TEXT = re.compile(
    r"Aperio[^|]*?\n\s*(\d+)x(\d+)(?:\s*\[\s*-?\d+\s*,\s*-?\d+[\s,]+(\d+)x(\d+)\s*\])?"
    r"[^;|\r\n]*?(?:->\s*(\d+)x(\d+)|[;|\r\n]|$)"
)
"""Aperio's ``46920x33014 [0,100 46000x32914] (256x256) -> 1024x732``: scan, piece of it, its smaller size."""
OTHER_PAGE, OTHER_PAGE_MPP = "ome.OtherPage", "ome.OtherPage.PhysicalSizeX"
"""Size and µm/px of the largest image that OME-XML describes, where it describes none of the page's size."""


@dataclass(frozen=True, slots=True)
class Mpp:
    """A pixel width and where it was found."""

    value: float
    """µm per px of level 0."""
    source: str


class Statement(NamedTuple):
    """What a file says in one place."""

    mpp: Mpp
    """Of a pixel that is not square the mean of both sides."""
    sides: tuple[float, float]
    """Width and height of a pixel, µm."""
    origin: str
    """``text``, ``tags``, or ``scanner`` for what is neither: metadata of a format that are of this very image."""


class DescribedPage(NamedTuple):
    """The page that the text of a file is about."""

    width: int
    height: int
    smaller: tuple[int, int] | None = None
    """What the text says that it was made smaller to."""

    @property
    def size(self) -> str:
        """In words."""
        return f"{self.width} × {self.height} px"

    def reduction(self, width: int, height: int) -> float | None:
        """Return how many px of the described page lie on one of this page, 1 for the same page.

        None where no one number fits both sides: a piece was cut out. Sides may be rounded by a px.
        """
        across, down = self.width / width, self.height / height
        if factor_between(across, 1) <= AGREEMENT and factor_between(down, 1) <= AGREEMENT:
            return 1.0
        is_one = abs(self.height / across - height) <= 1 or abs(self.width / down - width) <= 1
        return (across + down) / 2 if is_one else None


def find_statements(properties: Mapping[str, str]) -> list[Statement]:
    """Return all that the properties state, the most trusted first (the order is AtlasPatch's)."""
    scales = [*_direct(properties), *_in_text(properties), *_in_tags(properties)]
    return [Statement(mpp, sides, _origin(mpp, properties)) for mpp, sides in scales]


def described_page(properties: Mapping[str, str]) -> DescribedPage | None:
    """Return which page the text describes, as far as it says so."""
    if OTHER_PAGE in properties:
        width, height = properties[OTHER_PAGE].split("x")
        return DescribedPage(int(width), int(height))
    for match in filter(None, (SIZE_IN_TEXT.match(properties.get(key, "")) for key in TEXT_KEYS)):
        scan, piece, smaller = (match.group(1, 2), match.group(3, 4), match.group(5, 6))
        width, height = (int(side) for side in (piece if piece[0] else scan))
        if width and height:
            return DescribedPage(width, height, (int(smaller[0]), int(smaller[1])) if smaller[0] else None)
    return None


def mpp_of_text(properties: Mapping[str, str]) -> Mpp | None:
    """Return what the text says of the page that it describes."""
    stated = (mpp for mpp, _ in _in_text(properties))
    return first_number(properties, (OTHER_PAGE_MPP, "aperio.MPP")) or next(stated, None)


def _direct(properties: Mapping[str, str]) -> Iterator[tuple[Mpp, tuple[float, float]]]:
    below = dict(SIDES)
    for key in DIRECT_KEYS:
        if along_x := first_number(properties, (key,)):
            other = first_number(properties, (below[key],)) if key in below else None
            yield _of_sides(along_x, other)


def _in_text(properties: Mapping[str, str]) -> Iterator[tuple[Mpp, tuple[float, float]]]:
    for key in TEXT_KEYS:
        match = MPP_IN_TEXT.search(properties.get(key, ""))
        if match and (value := positive_number(match[1])):
            yield Mpp(value, key), (value, value)


def _in_tags(properties: Mapping[str, str]) -> Iterator[tuple[Mpp, tuple[float, float]]]:
    unit = unit_of_tags(properties)
    x, y = (positive_number(properties.get(key, "")) for key in TAG_KEYS)
    if unit and x:
        yield _of_sides(Mpp(unit / x, TAG_KEYS[0]), Mpp(unit / y, TAG_KEYS[1]) if y else None)


def unit_of_tags(properties: Mapping[str, str]) -> float | None:
    """Return the length, µm, per which the resolution tags count pixels; None where they name no length."""
    return UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", "").lower()) or _unit_of_imagej(properties)


def _unit_of_imagej(properties: Mapping[str, str]) -> float | None:
    texts = (UNIT_OF_IMAGEJ.match(properties.get(key, "")) for key in TEXT_KEYS)
    return next((um_of(1, match[1]) for match in texts if match), None)


def _of_sides(x: Mpp, y: Mpp | None) -> tuple[Mpp, tuple[float, float]]:
    """Return x for both sides when y is within 1 %, their mean otherwise."""
    if y is None or abs(x.value - y.value) <= SQUARE * max(x.value, y.value):
        return x, (x.value, x.value)
    return Mpp((x.value + y.value) / 2, f"mean of {x.source} and {y.source}"), (x.value, y.value)


def _origin(mpp: Mpp, properties: Mapping[str, str]) -> str:
    """Return where a number comes from; OpenSlide repeats text and tags under a name of its own."""
    if mpp.source.endswith(TAG_KEYS):
        return "tags"
    if mpp.source in (*TEXT_KEYS, "aperio.MPP"):
        return "text"
    if "openslide." not in mpp.source:
        return "scanner"
    repeated = {
        "text": [first_number(properties, ("aperio.MPP",)), *(text for text, _ in _in_text(properties))],
        "tags": [tags for tags, _ in _in_tags(properties)],
    }
    alike = (
        origin
        for origin, stated in repeated.items()
        if any(scale and factor_between(scale.value, mpp.value) <= SAME_NUMBER for scale in stated)
    )
    return next(alike, "scanner")


def first_number(properties: Mapping[str, str], keys: tuple[str, ...]) -> Mpp | None:
    """Return the first positive number under ``keys`` with its key; 0 is how some writers say unknown."""
    numbers = ((positive_number(properties.get(key, "")), key) for key in keys)
    return next((Mpp(value, key) for value, key in numbers if value), None)


def positive_number(text: str) -> float | None:
    """Return a finite number above 0, with a decimal point or comma, or None."""
    value = parse_number(text)
    return value if value is not None and value > 0 else None


def factor_between(a: float, b: float) -> float:
    """Return how many times the larger is the smaller."""
    return max(a / b, b / a)

"""How wide a pixel is, in µm: found in the properties or stated by the user, and refused when it cannot be true."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from atlaspatch_core.errors import ImplausibleScale, UnknownScale

LEAST_MPP, MOST_MPP = 0.05, 20.0
"""µm per px of level 0. A 100x oil scan has 0.1, a slide read by a film scanner about 5."""
USUAL_MPP = (0.1, 1.1)
"""µm per px of level 0 of nearly every scan: 100x to 10x."""
UM_TIMES_MAGNIFICATION = 10.0
"""µm per px × magnification of a usual scan: 0.5 at 20x, 0.25 at 40x."""
CONTRADICTION = 2.5
"""mpp and magnification may differ by this factor. 2x doublers and 2 × 2 binning make honest factors of 2 (an Aperio
scan of 0.25 µm may say 20x), and a quarter on top is what scanners of one magnification differ by."""
ODD = 1.25
"""From this factor on the disagreement is noted."""
SQUARE, SKEWED = 0.01, 0.2
"""Relative difference of x and y: below the first the pixel is square, above the second one of them is wrong."""
USER_CURE = "state the right one in a CSV with the columns wsi,mpp (--mpp-csv)"
CURE_FOR_NONE = "state it in a CSV with the columns wsi,mpp (--mpp-csv)"

BUCKETS = ((0.16, 80.0), (0.2, 60.0), (0.3, 40.0), (0.6, 20.0), (1.2, 10.0), (2.4, 5.0), (4.8, 2.5), (9.6, 1.25))
"""Upper bound of mpp (excluded) and nominal magnification. Up to 5x as AtlasPatch and TRIDENT do; halves beyond."""
COARSEST = 0.625
"""Nominal magnification beyond the last bucket."""

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
MAGNIFICATION_KEYS = (
    "openslide.objective-power", "aperio.AppMag", "hamamatsu.SourceLens", "ome.NominalMagnification",
    "czi.NominalMagnification", "dicom.ObjectiveLensPower", "sdpc.rate",
)  # fmt: skip
UM_PER_UNIT = {"centimeter": 10_000.0, "inch": 25_400.0}
MPP_IN_TEXT = re.compile(
    r"(?:\bmpp|microns per pixel)\s*[=:]\s*([0-9]+(?:[.,][0-9]+)?(?:e[+-]?[0-9]+)?)", re.IGNORECASE
)
PRINT_DPI = (72, 96, 150, 300, 600)
"""Dots per inch that image editors write when they know of none."""


@dataclass(frozen=True, slots=True)
class Mpp:
    """A pixel width and where it was found."""

    value: float
    """µm per px of level 0."""
    source: str


@dataclass(frozen=True, slots=True)
class StatedMpp:
    """What the user says of the scale of a slide."""

    mpp: Mpp | None = None
    """Wins over the file."""
    keys: tuple[str, ...] = ()
    """Properties, in any case of letters, that state the mpp; asked in order, and before those that are known."""


@dataclass(frozen=True, slots=True)
class SlideScale:
    """What a slide's properties and the user together say of its scale."""

    mpp: Mpp
    magnification: float
    magnification_source: str
    note: str = ""
    """What is odd, yet no reason to refuse: one clause, or empty."""


def find_scale(stem: str, properties: Mapping[str, str], stated: StatedMpp = StatedMpp()) -> SlideScale:
    """Return the scale of a slide: the ``stated`` mpp if there is one, or else that of the ``properties``.

    The nominal magnification is the file's, but that of the mpp bucket when the user stated the mpp: who corrects the
    scale corrects both. Without any mpp it is 10 / magnification. Nothing is rounded.
    Raises UnknownScale, or ImplausibleScale when the mpp is outside 0.05 to 20 µm/px or contradicts the magnification.
    """
    power = first_number(properties, MAGNIFICATION_KEYS)
    mpp, skew = (stated.mpp, "") if stated.mpp else mpp_of_file(stem, properties, stated.keys)
    mpp = mpp or (power and Mpp(UM_TIMES_MAGNIFICATION / power.value, power.source))
    if not mpp:
        raise UnknownScale(f"{stem}: neither the file nor the user says how many µm a pixel is wide; {CURE_FOR_NONE}")
    check_range(stem, mpp, power)
    if power and not stated.mpp:
        check_magnification(stem, mpp, power)
    nominal = power if power and not stated.mpp else Mpp(bucket(mpp.value), "mpp bucket")
    note = "; ".join(filter(None, (skew, disagreement(mpp, power))))
    return SlideScale(mpp, nominal.value, nominal.source, note)


def bucket(mpp: float) -> float:
    """Return the nominal magnification of a pixel width."""
    return next((magnification for bound, magnification in BUCKETS if mpp < bound), COARSEST)


def mpp_of_file(stem: str, properties: Mapping[str, str], keys: Sequence[str] = ()) -> tuple[Mpp | None, str]:
    """Return the mpp that the properties state first, and a note when its pixels are not square.

    ``keys`` are asked before all others. x stands for both sides when y is within 1 %, their mean otherwise. Raises
    ImplausibleScale beyond 20 %.
    """
    if keys and (found := first_number(properties, properties_named(properties, keys))):
        return found, ""
    pairs = ([first_number(properties, (key,)) for key in names] for names in SIDES)
    x, y = next((pair for pair in pairs if all(pair)), (None, None))
    if not x or not y or abs(x.value - y.value) <= SQUARE * max(x.value, y.value):
        return next(stated_mpps(properties), None), ""
    sides = f"the pixels are {x.value:.6g} × {y.value:.6g} µm ({x.source} and -y)"
    if abs(x.value - y.value) > SKEWED * max(x.value, y.value):
        raise ImplausibleScale(f"{stem}: {sides}, which no scanner makes; {USER_CURE}")
    return Mpp((x.value + y.value) / 2, f"mean of {x.source} and {y.source}"), sides


def properties_named(properties: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the properties of these names, whatever their case, in the order of the names."""
    spelled = {key.lower(): key for key in properties}
    return tuple(spelled[name.lower()] for name in names if name.lower() in spelled)


def stated_mpps(properties: Mapping[str, str]) -> Iterator[Mpp]:
    """Yield every mpp that the properties state, the most trusted first (the order is AtlasPatch's)."""
    for key in DIRECT_KEYS:
        if found := first_number(properties, (key,)):
            yield found
    for key in TEXT_KEYS:
        match = MPP_IN_TEXT.search(properties.get(key, ""))
        if match and (value := positive_number(match[1])):
            yield Mpp(value, key)
    per_unit = positive_number(properties.get("tiff.XResolution", ""))
    unit = UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", "").lower())
    if per_unit and unit:
        yield Mpp(unit / per_unit, "tiff.XResolution")


def first_number(properties: Mapping[str, str], keys: tuple[str, ...]) -> Mpp | None:
    """Return the first positive number under ``keys`` with its key; 0 is how some writers say unknown."""
    numbers = ((positive_number(properties.get(key, "")), key) for key in keys)
    return next((Mpp(value, key) for value, key in numbers if value), None)


def positive_number(text: str) -> float | None:
    """Return a finite number above 0, with a decimal point or comma, or None."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def check_range(stem: str, mpp: Mpp, power: Mpp | None) -> None:
    """Raise ImplausibleScale when no scanner makes such pixels, with a guess at what went wrong."""
    if not LEAST_MPP <= mpp.value <= MOST_MPP:
        raise ImplausibleScale(
            f"{stem}: {mpp.value:.6g} µm/px ({mpp.source}) is outside {LEAST_MPP:g} to {MOST_MPP:g} µm/px"
            f"{guess(mpp.value, power)}; {USER_CURE}"
        )


def check_magnification(stem: str, mpp: Mpp, power: Mpp) -> None:
    """Raise ImplausibleScale when mpp and magnification cannot both be true."""
    usual = UM_TIMES_MAGNIFICATION / power.value
    if factor_between(mpp.value, usual) > CONTRADICTION:
        raise ImplausibleScale(
            f"{stem}: {mpp.value:.6g} µm/px ({mpp.source}) contradicts {power.value:g}x ({power.source}), "
            f"which is about {usual:.4g} µm/px: more than a factor of {CONTRADICTION:g}"
            f"{guess(mpp.value, power)}; {USER_CURE}"
        )


def disagreement(mpp: Mpp, power: Mpp | None) -> str:
    """Return a clause on an mpp and a magnification that differ by a quarter or more, or nothing."""
    usual = UM_TIMES_MAGNIFICATION / power.value if power else mpp.value
    if not power or factor_between(mpp.value, usual) <= ODD:
        return ""
    magnification = f"{power.value:g}x ({power.source}), which is about {usual:.4g} µm/px"
    return f"{mpp.value:.6g} µm/px ({mpp.source}) is unusual for {magnification}"


def guess(mpp: float, power: Mpp | None) -> str:
    """Return what probably went wrong with an impossible ``mpp``, as a clause to append, or nothing."""
    if not (math.isfinite(mpp) and mpp > 0):
        return ""
    dpi = 25_400 / mpp
    if any(math.isclose(dpi, known, rel_tol=0.005) for known in PRINT_DPI):
        return f": {round(dpi)} dots per inch, what image editors write when they know no scale"
    for factor in (10, 100, 1_000, 10_000):
        for right, fault in ((mpp * factor, "small"), (mpp / factor, "large")):
            if is_usual(right, power):
                return f": {factor} times too {fault}? ({right:.4g} would fit)"
    return ""


def is_usual(mpp: float, power: Mpp | None) -> bool:
    """Say whether a scan with the stated magnification, or any where none is stated, has such an mpp."""
    if power:
        return factor_between(mpp, UM_TIMES_MAGNIFICATION / power.value) <= ODD
    return USUAL_MPP[0] <= mpp <= USUAL_MPP[1]


def factor_between(a: float, b: float) -> float:
    """Return how many times the larger is the smaller."""
    return max(a / b, b / a)

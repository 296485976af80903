"""How wide a pixel is, in µm: found in the properties or stated by the user, and refused when it cannot be true."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from atlaspatch_core.errors import ImplausibleScale, UnknownScale
from atlaspatch_core.slides.file_scale import (
    ODD,
    USER_CURE,
    FileScale,
    is_plausible,
    properties_named,
    scale_of_file,
)
from atlaspatch_core.slides.stated_scales import (
    LEAST_MPP,
    MAGNIFICATION_KEYS,
    MOST_MPP,
    UM_TIMES_MAGNIFICATION,
    Mpp,
    factor_between,
    first_number,
)
from atlaspatch_core.slides.unusable_scales import unusable_scales

USUAL_MPP = (0.1, 1.1)
"""µm per px of level 0 of nearly every scan: 100x to 10x."""
CONTRADICTION = 2.5
"""mpp and magnification may differ by this factor. 2x doublers and 2 × 2 binning make honest factors of 2 (an Aperio
scan of 0.25 µm may say 20x), and a quarter on top is what scanners of one magnification differ by."""
CURE_FOR_NONE = "state it in a CSV with the columns wsi,mpp (--mpp-csv), or by --mpp"

BUCKETS = ((0.16, 80.0), (0.2, 60.0), (0.3, 40.0), (0.6, 20.0), (1.2, 10.0), (2.4, 5.0), (4.8, 2.5), (9.6, 1.25))
"""Upper bound of mpp (excluded) and nominal magnification. Up to 5x as AtlasPatch and TRIDENT do; halves beyond."""
COARSEST = 0.625
"""Nominal magnification beyond the last bucket."""

PRINT_DPI = (72, 96, 150, 300, 600)
"""Dots per inch that image editors write when they know of none."""


OTHERWISE = "mpp="
"""Before µm per px, among the names of properties: what counts where neither these nor the file says any."""
OPTION = "--mpp"
"""Source of a scale that was stated so."""


@dataclass(frozen=True, slots=True)
class StatedMpp:
    """What the user says of the scale of a slide."""

    mpp: Mpp | None = None
    """Wins over the file."""
    keys: tuple[str, ...] = ()
    """Properties, in any case of letters, that state the mpp; asked in order, and before those that are known."""
    square_pixels: bool = False
    """Pixels that are not square are to be made so, and none is refused for it."""

    @property
    def otherwise(self) -> Mpp | None:
        """What counts where nothing else is stated."""
        values = (key.removeprefix(OTHERWISE) for key in self.keys if key.startswith(OTHERWISE))
        return next((Mpp(float(value), OPTION) for value in values), None)


@dataclass(frozen=True, slots=True)
class SlideScale:
    """What a slide's properties and the user together say of its scale."""

    mpp: Mpp
    magnification: float
    magnification_source: str
    note: str = ""
    """What is odd, yet no reason to refuse: one clause, or empty."""
    sides: tuple[float, float] | None = None
    """Width and height of a pixel, µm, where it is not square and is to be made so; ``mpp`` is then the longer one."""


def find_scale(
    stem: str, properties: Mapping[str, str], stated: StatedMpp = StatedMpp(), size: tuple[int, int] | None = None
) -> SlideScale:
    """Return the scale of a slide: the ``stated`` mpp if there is one, or else that of the ``properties``.

    ``size`` is width and height of level 0: of statements that contradict each other, the one that the page supports
    counts, and the other is noted. The nominal magnification is the file's, but that of the mpp bucket when the user
    stated the mpp: who corrects the scale corrects both. Without any mpp it is 10 / magnification. Nothing is rounded.
    Raises UnknownScale, or ImplausibleScale when the mpp is outside 0.05 to 20 µm/px or contradicts the magnification,
    when the pixels are not square, and when nothing tells which of two statements is of this page.
    """
    unusable = unusable_scales(properties, properties_named(properties, stated.keys))
    if stated.mpp:
        check_range(stem, stated.mpp, first_number(properties, MAGNIFICATION_KEYS))
        nominal = bucket(stated.mpp.value)
        in_file = partial(scale_of_file, stem, properties, (), size, square_pixels=True)
        note = "; ".join(filter(None, (against_file(stated.mpp, in_file), instead(unusable, stated.mpp))))
        return SlideScale(stated.mpp, nominal, "mpp bucket", note)
    file = scale_of_file(stem, properties, stated.keys, size, square_pixels=stated.square_pixels)
    mpp, power = file.mpp, file.magnification
    usual = power and Mpp(UM_TIMES_MAGNIFICATION / power.value, power.source)
    mpp = mpp or usual or stated.otherwise
    if not mpp:
        causes = "; ".join(filter(None, (file.note, unusable)))
        clause = f" of level 0 ({causes})" if causes else ""
        raise UnknownScale(
            f"{stem}: neither the file nor the user says how many µm a pixel{clause} is wide; {CURE_FOR_NONE}"
        )
    check_range(stem, mpp, power)
    if power:
        check_magnification(stem, mpp, power)
    nominal = power or Mpp(bucket(mpp.value), "mpp bucket")
    odd = (file.note, disagreement(mpp, power), by_magnification(mpp, usual), instead(unusable, mpp))
    note = "; ".join(filter(None, odd))
    return SlideScale(mpp, nominal.value, nominal.source, note, file.sides)


def bucket(mpp: float) -> float:
    """Return the nominal magnification of a pixel width."""
    return next((magnification for bound, magnification in BUCKETS if mpp < bound), COARSEST)


def check_range(stem: str, mpp: Mpp, power: Mpp | None) -> None:
    """Raise ImplausibleScale when no scanner makes such pixels, with a guess at what went wrong."""
    if not is_plausible(mpp.value):
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


def against_file(mpp: Mpp, file: Callable[[], FileScale]) -> str:
    """Return a clause on what the file states, where the user's mpp differs from it by a quarter or more, or nothing.

    Nothing either where the file contradicts itself, which takes the user's word.
    """
    try:
        stated, power, _, sides = file()
        if stated and power:
            check_magnification("", stated, power)
    except ImplausibleScale:
        return ""
    if sides and factor_between(*sides) > ODD:
        x, y = sides
        return f"{mpp.value:.6g} µm/px ({mpp.source}) counts, unlike pixels of {x:.6g} × {y:.6g} µm, as the file states"
    if stated is None or not is_plausible(stated.value) or factor_between(mpp.value, stated.value) <= ODD:
        return ""
    return f"{mpp.value:.6g} µm/px ({mpp.source}) counts, unlike {stated.value:.6g} µm/px ({stated.source})"


def by_magnification(mpp: Mpp, usual: Mpp | None) -> str:
    """Return a clause on a scale that nothing but the magnification tells, or nothing."""
    if mpp is not usual:
        return ""
    return f"no µm/px is stated: {mpp.value:.6g} is what scans of its magnification ({mpp.source}) usually have"


def instead(unusable: str, mpp: Mpp) -> str:
    """Return a clause on what is taken in place of widths that cannot be used, or nothing where there are none."""
    return f"{unusable}: {mpp.value:.6g} µm/px ({mpp.source}) is taken instead" if unusable else ""


def guess(mpp: float, power: Mpp | None) -> str:
    """Return what probably went wrong with an impossible ``mpp``, as a clause to append, or nothing."""
    if not (math.isfinite(mpp) and mpp > 0):
        return ""
    dpi = 25_400 / mpp
    if any(math.isclose(dpi, print_dpi, rel_tol=0.005) for print_dpi in PRINT_DPI):
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

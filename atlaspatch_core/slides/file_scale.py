"""The scale that a file states of the page that is read: its statements compared with each other and with the page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from atlaspatch_core.errors import ImplausibleScale
from atlaspatch_core.slides.stated_scales import (
    AGREEMENT,
    LEAST_MPP,
    MAGNIFICATION_KEYS,
    MOST_MPP,
    OTHER_PAGE,
    OTHER_PAGE_MPP,
    UM_TIMES_MAGNIFICATION,
    DescribedPage,
    Mpp,
    Statement,
    described_page,
    factor_between,
    find_statements,
    first_number,
    mpp_of_text,
)

ODD = 1.25
"""From this factor on the disagreement is noted."""
SKEWED = 0.1
"""Relative difference of x and y up to which their mean is taken: it is within 5 % of either, as the scale of a level
may be. Beyond it patches would show tissue stretched."""
USER_CURE = "state the right one in a CSV with the columns wsi,mpp (--mpp-csv)"


class FileScale(NamedTuple):
    """What a file says of its scale, once all that it says was compared."""

    mpp: Mpp | None = None
    magnification: Mpp | None = None
    note: str = ""
    sides: tuple[float, float] | None = None
    """Width and height of a pixel, µm, where it is not square and is to be made so; ``mpp`` is then the longer one."""


def scale_of_file(
    stem: str,
    properties: Mapping[str, str],
    keys: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    *,
    square_pixels: bool = False,
) -> FileScale:
    """Return what the properties say of the page of this ``size``; ``keys`` are believed before all others.

    Raises ImplausibleScale for pixels that are not square, unless they are to be made so, and where the page does not
    tell which of two statements is true.
    """
    power = first_number(properties, MAGNIFICATION_KEYS)
    if keys and (named := first_number(properties, properties_named(properties, keys))):
        return FileScale(named, power)
    page = described_page(properties)
    statements = [*find_statements(properties), *_of_another_page(properties)]
    reduction = page.reduction(*size) if page and size else None
    if page and size and reduction not in (None, 1.0):
        return _of_smaller_page(_Reduced(stem, properties, page, size, float(reduction or 1)), statements, power)
    statements = [one for one in statements if one.origin != "tags" or is_plausible(one.mpp.value)] or statements
    if statements and statements[0].mpp.source == OTHER_PAGE_MPP and reduction is None:
        statements = []  # of another image: nothing says that level 0 was cut out of it
    other = ""
    if page and size and reduction is None:
        what = "OME-XML describes" if OTHER_PAGE in properties else "the text describes"
        other = f"{what} {page.size}, and level 0 has {_px(size)}"
    if not statements:
        return FileScale(None, power, other)
    best = statements[0]
    rivals = [one.mpp for one in statements if is_plausible(best.mpp.value) and is_rival(one, best)]
    is_of_page = best.origin == "scanner" or (best.origin == "text" and reduction == 1.0)
    if rivals and not is_of_page:
        raise ImplausibleScale(
            f"{stem}: {_words(best.mpp)} contradicts {_words(rivals[0])}, more than a factor of {AGREEMENT:g}, and "
            f"nothing in the file tells which is of these pixels; {USER_CURE}"
        )
    notes = [f"{_words(best.mpp)} is of this very page, unlike {_words(rivals[0])}"] if rivals else []
    if square_pixels and best.sides[0] != best.sides[1]:
        longer = Mpp(max(best.sides), f"longer of {_sources(best)}")
        return FileScale(longer, power, "; ".join(filter(None, [other, *notes])), best.sides)
    return FileScale(best.mpp, power, "; ".join(filter(None, [skew(stem, best), other, *notes])))


def _of_another_page(properties: Mapping[str, str]) -> list[Statement]:
    """Return what OME-XML says of an image that has not the page's size, as a statement of the text."""
    mpp = first_number(properties, (OTHER_PAGE_MPP,))
    return [Statement(mpp, (mpp.value, mpp.value), "text")] if mpp else []


class _Reduced(NamedTuple):
    """A page whose text describes another one, of the same proportions."""

    stem: str
    properties: Mapping[str, str]
    page: DescribedPage
    size: tuple[int, int]
    reduction: float
    """px of the described page on one of this page."""

    @property
    def sizes(self) -> str:
        """Both pages in words."""
        return f"{self.page.size}, and level 0 has {_px(self.size)}"


def _of_smaller_page(reduced: _Reduced, statements: Sequence[Statement], power: Mpp | None) -> FileScale:
    """Return the scale of a page whose text was written for another: what the resolution tags confirm, or the text.

    A page may have been made smaller after its text was written, or cut out in the same proportions.
    Raises ImplausibleScale where nothing tells which.
    """
    usual = Mpp(UM_TIMES_MAGNIFICATION / power.value, power.source) if power else None
    text = mpp_of_text(reduced.properties) or usual
    tags = next((one for one in statements if one.origin == "tags"), None)
    if text is None:
        return FileScale(tags.mpp if tags else None, power, f"the text describes {reduced.sizes}")
    smaller = Mpp(text.value * reduced.reduction, f"{text.source} × {reduced.reduction:.4g}")
    least = ODD if text is usual else AGREEMENT
    confirmed = tags.mpp if tags and factor_between(tags.mpp.value, smaller.value) <= least else None
    if confirmed or reduced.page.smaller == reduced.size:
        now = power and Mpp(power.value / reduced.reduction, f"{power.source} / {reduced.reduction:.4g}")
        note = f"{_words(text)} is of {reduced.sizes}, {(confirmed or smaller).value:.6g} µm/px"
        return FileScale(confirmed or smaller, now, note)
    also = f", and {_words(tags.mpp)} is stated, too" if tags else ""
    raise ImplausibleScale(
        f"{reduced.stem}: {_words(text)} is of {reduced.sizes}: it holds if these were cut out, and "
        f"{smaller.value:.6g} µm/px if all was made smaller{also}; {USER_CURE}"
    )


def is_rival(one: Statement, first: Statement) -> bool:
    """Say whether a statement contradicts the first: another origin, a width that can be, and a factor between."""
    other = one.origin != first.origin and is_plausible(one.mpp.value) and one.origin != "scanner"
    return other and factor_between(one.mpp.value, first.mpp.value) > AGREEMENT


def is_plausible(mpp: float) -> bool:
    """Say whether scanners make such pixels; resolution tags that do not are those of image editors."""
    return LEAST_MPP <= mpp <= MOST_MPP


def skew(stem: str, one: Statement) -> str:
    """Return a note on pixels that are not square, or nothing. Raises ImplausibleScale beyond 10 %."""
    x, y = one.sides
    if x == y:
        return ""
    sides = f"the pixels are {x:.6g} × {y:.6g} µm ({_sources(one)})"
    if abs(x - y) > SKEWED * max(x, y):
        raise ImplausibleScale(
            f"{stem}: {sides}, which differ by more than {SKEWED:.0%}, so that patches would be stretched; have them "
            f"made square (--square-pixels), or {USER_CURE}"
        )
    return sides


def _sources(one: Statement) -> str:
    return one.mpp.source.removeprefix("mean of ")


def _words(mpp: Mpp) -> str:
    return f"{mpp.value:.6g} µm/px ({mpp.source})"


def _px(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]} px"


def properties_named(properties: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the properties of these names, whatever their case, in the order of the names."""
    spelled = {key.lower(): key for key in properties}
    return tuple(spelled[name.lower()] for name in names if name.lower() in spelled)

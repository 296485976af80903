"""Colours of numbers: which range they span, by which colour map, and in how many digits that is said."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores.coolwarm import coolwarm
from atlaspatch_core.interop.scores.fields import COLOUR_MAPS

MOST = float(np.finfo(np.float32).max)
"""Largest number that a picture holds."""
ROUNDING = 1e-6
"""By how much a mean of equal numbers may differ from them, as a share, after float32."""
STEPS = 256
CLASSES = 8
TICKS = 5
LEAST_DIGITS, MOST_DIGITS = 4, 17
"""Of numbers that are written out."""


@dataclass(frozen=True, slots=True)
class ColourScale:
    """Which colour a number has; numbers beyond the ends have the colours of the ends."""

    low: float
    high: float
    name: str = "turbo"
    """Of the colour map, one of ``COLOUR_MAPS``."""

    def colours(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return RGB, one axis more than the values, its length 3; of NaN the colour is of no meaning."""
        return self._of_shares(self.shares(values.astype(np.float64)))

    def shares(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where numbers lie, from 0 at the low end to 1 at the high one; of NaN the share is of no meaning.

        Where both ends are one, numbers below it are at 0, above it at 1, and those that equal it in between.
        """
        if not self.is_one_number:
            with np.errstate(over="ignore"):
                return np.nan_to_num(np.clip((np.clip(values, -MOST, MOST) - self.low) / (self.high - self.low), 0, 1))
        away = np.where(np.isclose(values, self.low, rtol=ROUNDING, atol=0), 0, values - self.low)
        return np.nan_to_num(np.sign(away) / 2 + 0.5)

    @property
    def is_one_number(self) -> bool:
        """Whether both ends are one: of equal scores, or where percentiles leave all others out."""
        return self.high <= self.low

    def classes(self, scores: NDArray[np.float64], title: str) -> Iterator[tuple[str, list[int]]]:
        """Yield a class a score, its name and RGB: equal steps from low to high, for QuPath has a colour a class."""
        colours = self._of_shares(np.linspace(0, 1, 2 * CLASSES + 1)[1::2]).tolist()
        for step in _steps(self.shares(scores), CLASSES).tolist():
            yield f"{title} {step + 1} of {CLASSES}", colours[step]

    def table(self) -> NDArray[np.uint8]:
        """Return all colours from low to high, RGB, shape (256, 3)."""
        if self.name == "coolwarm":
            return coolwarm(STEPS)
        ramp = np.arange(STEPS, dtype=np.uint8).reshape(-1, 1)
        coloured = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{self.name.upper()}"))
        return np.ascontiguousarray(coloured[:, 0, ::-1], np.uint8)

    def ticks(self) -> list[tuple[float, str]]:
        """Return what stands beside a bar of the colours: shares, and the numbers that lie there."""
        if self.is_one_number:
            [number] = as_texts([self.low])
            return [(0, f"< {number}"), (0.5, number), (1, f"> {number}")]
        shares = [step / (TICKS - 1) for step in range(TICKS)]
        numbers = [self.low * (1 - share) + self.high * share for share in shares]
        return list(zip(shares, as_texts(numbers), strict=True))

    def bar(self, length: int) -> NDArray[np.uint8]:
        """Return the colours of a bar from high to low, shape (length, 3); three where both ends are one number."""
        shares = np.linspace(1, 0, length)
        return self._of_shares(_steps(shares, 3) / 2 if self.is_one_number else shares)

    def _of_shares(self, shares: NDArray[np.float64]) -> NDArray[np.uint8]:
        return self.table()[_steps(shares, STEPS)]


def _steps(shares: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return in which of so many equal parts shares from 0 to 1 lie."""
    return np.minimum(shares * count, count - 1).astype(np.int64)


def as_texts(numbers: Sequence[float]) -> list[str]:
    """Return numbers as short as may be, four digits or more, each within a hundredth of what lies between them."""
    span = max(numbers, default=0) - min(numbers, default=0)
    off = span / 100 if span else ROUNDING * max(map(abs, numbers), default=0)
    for digits in range(LEAST_DIGITS, MOST_DIGITS):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if all(abs(float(text) - number) <= off for text, number in zip(texts, numbers, strict=True)):
            return texts
    return [f"{number:.{MOST_DIGITS}g}" for number in numbers]


def colour_scale(
    scores: NDArray[np.float64],
    name: str = "turbo",
    limits: tuple[float, float] | None = None,
    percentiles: tuple[float, float] = (0.0, 100.0),
    of: str = "the scores",
) -> ColourScale:
    """Return the scale from ``limits``, or from percentiles of the scores.

    Raises InvalidScores for an unknown name and for ends that are not in order; and, of what ``of`` says, where there
    is no score.
    """
    if name not in COLOUR_MAPS:
        raise InvalidScores(f"{name!r} is no colour map; give one of {', '.join(COLOUR_MAPS)}")
    check_ends("percentiles", percentiles, (0.0, 100.0))
    if limits is not None:
        return ColourScale(*check_ends("limits", limits), name)
    finite = np.clip(scores[np.isfinite(scores)], -MOST, MOST)
    if not len(finite):
        raise InvalidScores(f"{of}: no patch has a score, so that there is no range; give one with --range")
    low, high = (float(end) for end in np.percentile(finite, percentiles))
    return ColourScale(low, high, name)


def check_ends(called: str, ends: Sequence[float], bounds: tuple[float, float] = (-MOST, MOST)) -> tuple[float, float]:
    """Return two numbers. Raises InvalidScores unless both lie within the bounds, the lower first."""
    least, most = bounds
    try:
        low, high = map(float, ends)
    except (TypeError, ValueError) as error:
        raise InvalidScores(f"{called} {ends!r}: give two numbers, the lower first") from error
    if not least <= min(low, high) <= max(low, high) <= most or math.isnan(low + high):
        raise InvalidScores(f"{called} {low:g} {high:g}: give numbers from {least:.3g} to {most:.3g}")
    if low >= high:
        raise InvalidScores(f"{called} {low:g} {high:g}: give the lower first")
    return low, high

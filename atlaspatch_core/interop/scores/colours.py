"""Colours of numbers: which range they span, by which colour map, and the legend that says so."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores.coolwarm import coolwarm

MOST = float(np.finfo(np.float32).max)
"""Largest number that a picture holds."""
STEPS = 256
CLASSES = 8
LEGEND, BAR = 132, 18
"""Width of the legend and of its bar, px, for letters of full size."""
TICKS = 5
MOST_LINES = 3
"""Of the title of a legend."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class ColourScale:
    """Which colour a number has; numbers beyond the ends have the colours of the ends."""

    low: float
    high: float
    name: str = "turbo"
    """Of the colour map, one of ``COLOUR_MAPS``."""

    def colours(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return RGB, one axis more than the values, its length 3; of NaN the colour is of no meaning."""
        span = self.high - self.low
        share = (values.astype(np.float64) - self.low) / span if span > 0 else np.full(values.shape, 0.5)
        steps = np.clip(np.nan_to_num(share) * STEPS, 0, STEPS - 1).astype(np.uint8)
        return self.table()[steps]

    def classes(self, scores: NDArray[np.float64], title: str) -> Iterator[tuple[str, list[int]]]:
        """Yield a class a score, its name and RGB: equal steps from low to high, for QuPath has a colour a class."""
        middles = np.linspace(self.low, self.high, 2 * CLASSES + 1)[1::2].astype(np.float32)
        colours = self.colours(middles).tolist()
        span = self.high - self.low
        share = np.nan_to_num((scores - self.low) / span if span > 0 else np.zeros(scores.shape))
        for step in np.clip(share * CLASSES, 0, CLASSES - 1).astype(int).tolist():
            yield f"{title} {step + 1} of {CLASSES}", colours[step]

    def table(self) -> NDArray[np.uint8]:
        """Return all colours from low to high, RGB, shape (256, 3)."""
        if self.name == "coolwarm":
            return coolwarm(STEPS)
        ramp = np.arange(STEPS, dtype=np.uint8).reshape(-1, 1)
        coloured = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{self.name.upper()}"))
        return np.ascontiguousarray(coloured[:, 0, ::-1], np.uint8)


def colour_scale(
    scores: NDArray[np.float64],
    name: str = "turbo",
    limits: tuple[float, float] | None = None,
    percentiles: tuple[float, float] = (0.0, 100.0),
    of: str = "the scores",
) -> ColourScale:
    """Return the scale from ``limits``, or from percentiles of the scores.

    Raises InvalidScores, of what ``of`` says, where there is no score.
    """
    finite = scores[np.isfinite(scores)]
    if limits is None and not len(finite):
        raise InvalidScores(f"{of}: no patch has a score, so that there is no range; give one with --range")
    low, high = limits or (float(end) for end in np.percentile(finite, percentiles))
    return ColourScale(low, high, name)


def with_legend(picture: NDArray[np.uint8], scale: ColourScale, title: str) -> NDArray[np.uint8]:
    """Return the picture with a white column at its right: what the colours mean, in numbers."""
    size = min(2.5, max(0.6, picture.shape[0] / 700))
    width, height = round(LEGEND * size), max(picture.shape[0], round(120 * size))
    canvas = np.full((height, picture.shape[1] + width, 3), 255, np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    lines = _wrapped(title, width - round(12 * size), 0.45 * size)
    left, top = picture.shape[1] + round(8 * size), round((20 + 14 * len(lines)) * size)
    bottom = min(height - round(12 * size), top + round(256 * size))
    _draw_bar(canvas, scale, (left, top, left + round(BAR * size), bottom))
    for number, line in enumerate(lines):
        _write(canvas, line, (left, round((20 + 14 * number) * size)), 0.45 * size)
    for step in range(TICKS):
        share = step / (TICKS - 1)
        place = left + round((BAR + 6) * size), round(bottom + (top - bottom) * share + 4 * size)
        _write(canvas, f"{scale.low + (scale.high - scale.low) * share:.4g}", place, 0.45 * size)
    return canvas


def _draw_bar(canvas: NDArray[np.uint8], scale: ColourScale, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    steps = np.linspace(STEPS - 1, 0, bottom - top).round().astype(np.uint8)
    canvas[top:bottom, left:right] = scale.table()[steps][:, None]
    cv2.rectangle(canvas, (left, top), (right, bottom), BLACK, 1)


def _wrapped(title: str, width: int, size: float) -> list[str]:
    """Return a title in lines, at most three, broken between words; what does not fit then is cut."""
    lines = [""]
    for word in _printable(title).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and len(lines) < MOST_LINES and not _fits(longer, width, size):
            lines.append(word)
        else:
            lines[-1] = longer
    return [fitting(line, width, size) for line in lines]


def fitting(text: str, width: int, size: float) -> str:
    """Return as much of a text as fits into a width, px; letters that the font has not are ``?``."""
    text = _printable(text)
    while len(text) > 1 and not _fits(text, width, size):
        text = f"{text.rstrip('.')[:-1]}..." if len(text) > 4 else text[:-1]
    return text


def _printable(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _fits(text: str, width: int, size: float) -> bool:
    return cv2.getTextSize(text, FONT, size, 1)[0][0] <= width


def _write(canvas: NDArray[np.uint8], text: str, place: tuple[int, int], size: float) -> None:
    cv2.putText(canvas, text, place, FONT, size, BLACK, 1, cv2.LINE_AA)

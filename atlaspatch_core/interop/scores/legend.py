"""What colours mean, beside a picture: a bar of them, and numbers."""

import cv2
import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.interop.scores.colours import ColourScale

LEGEND, BAR = 132, 18
"""Width of the legend and of its bar, px, for letters of full size."""
MOST_LINES = 3
"""Of the title of a legend."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX


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
    _write_ticks(canvas, scale, (left + round((BAR + 6) * size), top, bottom), size)
    return canvas


def _write_ticks(canvas: NDArray[np.uint8], scale: ColourScale, place: tuple[int, int, int], size: float) -> None:
    """Write numbers at their heights, all as small as the longest needs."""
    (left, top, bottom), ticks = place, scale.ticks()
    widest = max(cv2.getTextSize(text, FONT, 0.45 * size, 1)[0][0] for _, text in ticks)
    letters = 0.45 * size * min(1, (canvas.shape[1] - left) / widest)
    for share, text in ticks:
        _write(canvas, text, (left, round(bottom + (top - bottom) * share + 4 * size)), letters)


def _draw_bar(canvas: NDArray[np.uint8], scale: ColourScale, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    canvas[top:bottom, left:right] = scale.bar(bottom - top)[:, None]
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

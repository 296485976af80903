"""The diverging colours ``coolwarm``: from blue over grey to red, without a step that looks larger than another.

Written from Moreland 2009, "Diverging Color Maps for Scientific Visualization", DOI 10.1007/978-3-642-10520-3_9.
Colours are interpolated in Msh, which is CIELAB in polar coordinates: M is the length, s the angle from grey, h the
hue.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

BLUE, RED = (59, 76, 192), (180, 4, 38)
"""RGB of the ends."""
GREY = 88.0
"""M of the middle, the least that the paper gives it."""


def coolwarm(steps: int) -> NDArray[np.uint8]:
    """Return so many colours from blue to red, RGB, shape (steps, 3)."""
    shares = np.linspace(0, 1, steps)[:, None]
    blue, red = _msh(BLUE), _msh(RED)
    middle = max(GREY, blue[0], red[0])
    to_grey, from_grey = (np.array([middle, 0.0, _hue_beside(end, middle)]) for end in (blue, red))
    cool = blue + 2 * shares * (to_grey - blue)
    warm = from_grey + (2 * shares - 1) * (red - from_grey)
    return _rgb(np.where(shares < 0.5, cool, warm))


def _msh(colour: tuple[int, int, int]) -> NDArray[np.float64]:
    pixel = np.array([[colour]], np.float32) / 255
    lightness, a, b = cv2.cvtColor(pixel, cv2.COLOR_RGB2Lab)[0, 0].astype(np.float64).tolist()
    length = float(np.sqrt(lightness**2 + a**2 + b**2))
    return np.array([length, np.arccos(lightness / length), np.arctan2(b, a)])


def _hue_beside(end: NDArray[np.float64], middle: float) -> float:
    """Return the hue that grey is given beside an end, so that the way there is even."""
    length, angle, hue = end.tolist()
    spin = angle * np.sqrt(max(middle**2 - length**2, 0)) / (length * np.sin(angle))
    return hue + spin if hue > -np.pi / 3 else hue - spin


def _rgb(msh: NDArray[np.float64]) -> NDArray[np.uint8]:
    length, angle, hue = msh.T
    lab = np.stack([np.cos(angle), np.sin(angle) * np.cos(hue), np.sin(angle) * np.sin(hue)], axis=-1) * length[:, None]
    pixels = cv2.cvtColor(lab.astype(np.float32)[None], cv2.COLOR_Lab2RGB)[0]
    return np.clip(np.round(pixels * 255), 0, 255).astype(np.uint8)

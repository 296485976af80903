"""Colour of an overview: glass, white balance, chroma, texture."""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""Shape (height, width, 3), RGB."""
Channel = NDArray[np.uint8]
"""Shape (height, width)."""

GLASS = 245.0
"""Level that the slide's glass is balanced to, of 255."""


def balanced(pixels: Pixels) -> Pixels:
    """Return RGB pixels with the slide's glass at grey ``GLASS``, whatever the colour of the lamp."""
    levels = np.arange(256)[:, None] * (GLASS / glass_colour(pixels))
    return np.asarray(cv2.LUT(pixels, levels.clip(0, 255).round().astype(np.uint8)[None]), np.uint8)


def glass_colour(pixels: Pixels) -> NDArray[np.float64]:
    """Return the RGB of bare glass: the commonest bright, hardly coloured one; ``GLASS`` where there is next to none.

    Pure white is what readers paint where nothing was scanned, and has no say.
    """
    pixels = pixels[::3, ::3]
    least = darkest(pixels)
    bright = pixels[(least >= 170) & (least < 254) & (chroma(pixels) < 40)]
    if len(bright) < 0.005 * least.size:
        return np.full(3, GLASS)
    commonest = int(np.bincount(bright[:, 1]).argmax())
    return np.median(bright[np.abs(bright[:, 1].astype(np.int16) - commonest) <= 3], axis=0)


def brightest(pixels: Pixels) -> Channel:
    """Return the largest channel of each pixel."""
    red, green, blue = cv2.split(pixels)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def darkest(pixels: Pixels) -> Channel:
    """Return the smallest channel of each pixel."""
    red, green, blue = cv2.split(pixels)
    return np.asarray(cv2.min(cv2.min(red, green), blue), np.uint8)


def chroma(pixels: Pixels) -> Channel:
    """Return the largest minus the smallest channel of each pixel."""
    return brightest(pixels) - darkest(pixels)


def texture(channel: Channel | NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standard deviation within 5 × 5 px of each pixel."""
    values = channel.astype(np.float32)
    mean = cv2.blur(values, (5, 5))
    return np.sqrt(np.maximum(cv2.blur(values * values, (5, 5)) - mean * mean, 0), dtype=np.float32)

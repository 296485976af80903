"""Slides whose pixels are not square, painted in µm: what a place shows is known. Nothing of the product is used."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from hypothesis import strategies as st
from numpy.typing import NDArray

TILE = 64


@dataclass(frozen=True)
class OblongScan:
    """A scan of a plane on which colours change slowly, with tissue in a rectangle."""

    sides: tuple[float, float]
    """Width and height of a pixel, µm."""
    size: tuple[int, int]
    """Width and height of the file, px."""
    tissue: tuple[float, float, float, float]
    """Left, top, right, bottom, µm."""
    factors: tuple[int, ...] = (1, 2)

    @property
    def tissue_px(self) -> tuple[int, int, int, int]:
        """The tissue in px of the file."""
        left, top, right, bottom = (round(um / side) for um, side in zip(self.tissue, self.sides * 2, strict=True))
        return left, top, right, bottom

    def pixels(self) -> NDArray[np.uint8]:
        """Return level 0, RGB."""
        return np.rint(self._colours()).astype(np.uint8)

    def mean_colour(self, left: float, top: float, side: float) -> NDArray[np.float64]:
        """Return the mean RGB of a square, µm: of the px of the file that it covers."""
        x, y = self.sides
        columns = slice(round(left / x), round((left + side) / x))
        rows = slice(round(top / y), round((top + side) / y))
        return self._colours()[rows, columns].reshape(-1, 3).mean(axis=0)

    def _colours(self) -> NDArray[np.float64]:
        width, height = self.size
        across = np.linspace(0, 1, width)[None, :, None] * (90, -60, 40)
        down = np.linspace(0, 1, height)[:, None, None] * (-60, 60, 60)
        left, top, right, bottom = self.tissue_px
        colours = np.full((height, width, 3), 245.0)
        colours[top:bottom, left:right] = (np.array([130.0, 100.0, 120.0]) + across + down)[top:bottom, left:right]
        return colours


@st.composite
def oblong_scans(draw: st.DrawFn) -> OblongScan:
    """Draw pixels longer along one axis by 2 % to 2.2 times, and a rectangle of tissue."""
    shorter, ratio = draw(st.sampled_from([0.25, 0.5])), draw(st.one_of(st.floats(1.02, 2.2), st.just(2.0)))
    sides = (shorter, shorter * ratio) if draw(st.booleans()) else (shorter * ratio, shorter)
    width_um, height_um = draw(st.floats(250, 320)), draw(st.floats(220, 300))
    size = round(width_um / sides[0]), round(height_um / sides[1])
    left, top = draw(st.floats(10, 60)), draw(st.floats(10, 60))
    return OblongScan(sides, size, (left, top, left + draw(st.floats(130, 170)), top + draw(st.floats(110, 140))))


def write_oblong(path: Path, scan: OblongScan) -> Path:
    """Write a tiled TIFF that states both sides of its pixels, and return its path."""
    pixels = scan.pixels().astype(float)
    with tifffile.TiffWriter(path) as writer:
        for factor in scan.factors:
            height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
            blocks = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
            writer.write(
                np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8), photometric="rgb", tile=(TILE, TILE),
                compression="deflate", subfiletype=int(factor > 1), metadata=None, software=False,
                resolution=(1e4 / scan.sides[0] / factor, 1e4 / scan.sides[1] / factor), resolutionunit="CENTIMETER",
            )  # fmt: skip
    return path

"""Slides so long that the rounded sides of a level have two ratios to level 0. Nothing of the product is imported."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from hypothesis import strategies as st
from numpy.typing import NDArray

GLASS, STAIN = (244, 244, 244), (190, 80, 150)


@dataclass(frozen=True)
class Strip:
    """A strip of glass with a box of tissue near its far end."""

    width: int
    """Level-0 px."""
    height: int
    """Level-0 px."""
    factors: tuple[int, ...]
    """By which the levels are meant to be smaller than level 0."""
    box: tuple[int, int, int, int]
    """Left, top, right, bottom of the tissue, level-0 px."""
    suffix: str
    """Decides who reads the file."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Level 0."""
        left, top, right, bottom = self.box
        pixels = np.full((self.height, self.width, 3), GLASS, np.uint8)
        pixels[top:bottom, left:right] = STAIN
        return pixels


@st.composite
def strips(draw: st.DrawFn) -> Strip:
    """Draw a strip 20 to 60 times as long as it is wide, lying or standing."""
    short, factor = draw(st.integers(150, 330)), draw(st.sampled_from([8, 16, 24, 32]))
    length = short * draw(st.integers(20, 60))
    begin = length - draw(st.integers(10, 13)) * 64
    span, depth = draw(st.integers(256, 512)), draw(st.integers(120, short))
    box = (begin, 0, begin + span, depth)
    strip = Strip(length, short, (1, factor), box, draw(st.sampled_from([".svs", ".ome.tiff"])))
    if draw(st.booleans()):
        return strip
    return Strip(short, length, (1, factor), (0, begin, depth, begin + span), strip.suffix)


def paint_strip(path: Path, strip: Strip) -> Path:
    """Write the strip at 0.5 µm/px, its levels averaged over all of level 0; return its path."""
    levels = []
    for factor in strip.factors:
        size = max(1, strip.width // factor), max(1, strip.height // factor)
        small = cv2.resize(strip.pixels, size, interpolation=cv2.INTER_AREA) if factor > 1 else strip.pixels
        levels.append(np.asarray(small, np.uint8))
    size = f"{strip.width}x{strip.height}"
    text = f"Aperio Image Library v12\r\n{size} [0,0 {size}]|MPP = 0.5|AppMag = 20"
    aperio = strip.suffix == ".svs"
    with tifffile.TiffWriter(path, ome=False) as writer:
        for number, level in enumerate(levels):
            below = number > 0
            writer.write(
                level, photometric="rgb", tile=(256, 256), software=False, metadata=None,
                description=text if aperio else None if below else _ome(strip),
                subifds=0 if aperio or below else len(levels) - 1, subfiletype=int(below and not aperio),
            )  # fmt: skip
    return path


def _ome(strip: Strip) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="{strip.width}" SizeY="{strip.height}" SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="0.5" '
        'PhysicalSizeY="0.5"><Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/>'
        "</Pixels></Image></OME>"
    )

"""Files whose scale is known, and which state it in several places, rightly or not. Nothing of the product is imported.

What is drawn is how a file came about: scanned, then perhaps made smaller or cut, by a program that wrote new
resolution tags, kept the old ones, or wrote those of a printer.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from hypothesis import strategies as st

PRINTER_MPP = 25_400 / 300
NEAR = 1.05
"""Factor up to which two statements of a scale mean the same."""


@dataclass(frozen=True)
class ScaleFile:
    """One file, and the truth about it."""

    kind: str
    """``aperio``, ``ome``, or ``plain`` for a text of no known form."""
    size: tuple[int, int]
    """Width and height of level 0, px."""
    mpp: float
    """The truth, µm per px of level 0."""
    text_size: tuple[int, int]
    """Of the page that the text was written for."""
    text_mpp: float | None
    tags_mpp: float | None

    @property
    def contradicted_by(self) -> list[float]:
        """Statements that are not true of level 0, and that a scanner could have made."""
        stated = [mpp for mpp in (self.text_mpp, self.tags_mpp) if mpp and mpp < 20]
        return [mpp for mpp in stated if max(mpp / self.mpp, self.mpp / mpp) > NEAR]

    @property
    def text(self) -> str:
        """The description as the file has it."""
        (width, height), mpp = self.text_size, self.text_mpp
        if self.kind == "plain":
            return f"scanned, MPP = {mpp:.6g}" if mpp else "scanned"
        if self.kind == "aperio":
            return (
                f"Aperio Image Library v12.0.15\r\n{width}x{height} [0,0 {width}x{height}] (256x256) JPEG/RGB Q=70"
                + ("" if mpp is None else f"|MPP = {mpp:.6g}")
            )
        px = "" if mpp is None else f' PhysicalSizeX="{mpp:.6g}" PhysicalSizeY="{mpp:.6g}"'
        return (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
            f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="{width}" '
            f'SizeY="{height}" SizeC="3" SizeZ="1" SizeT="1"{px}><Channel ID="Channel:0:0" SamplesPerPixel="3"/>'
            '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
        )


@st.composite
def sides_of_pixels(draw: st.DrawFn) -> tuple[float, float]:
    """Draw width and height of a pixel, µm: square, nearly so, or not at all."""
    x = draw(st.floats(0.2, 1.0))
    return x, x * draw(st.one_of(st.just(1.0), st.floats(0.8, 1.25), st.floats(0.995, 1.005)))


def write_pixels_of(path: Path, sides: tuple[float, float] | None, text: str | None = None) -> Path:
    """Write glass whose resolution tags state both sides, µm, or nothing, and return its path."""
    per_cm = (1e4 / sides[0], 1e4 / sides[1]) if sides else None
    tifffile.imwrite(
        path, np.full((64, 64, 3), 240, np.uint8), photometric="rgb", tile=(64, 64), metadata=None, description=text,
        resolution=per_cm, resolutionunit="CENTIMETER" if per_cm else None,
    )  # fmt: skip
    return path


@st.composite
def scale_files(draw: st.DrawFn) -> ScaleFile:
    """Draw how a file came about."""
    kind = draw(st.sampled_from(["aperio", "aperio", "ome", "plain"]))
    width, height = draw(st.integers(60, 400)), draw(st.integers(60, 400))
    scanned = draw(st.sampled_from([0.2, 0.25, 0.2639, 0.5, 1.0]))
    fate = draw(st.sampled_from(["as scanned", "smaller", "piece"]))
    factor = draw(st.sampled_from([1.5, 2, 3, 4])) if fate == "smaller" else 1
    text_size = round(width * factor), round(height * factor)
    if fate == "piece":
        text_size = width + draw(st.integers(0, 900)), height + draw(st.integers(0, 900))
    mpp = scanned * factor
    states = kind != "plain" or fate == "as scanned"
    text_mpp = draw(st.sampled_from([scanned, scanned, None])) if states else None
    tags_mpp = draw(st.sampled_from([None, mpp, scanned, 2 * scanned, PRINTER_MPP]))
    return ScaleFile(kind, (width, height), mpp, text_size, text_mpp, tags_mpp)


def write_scale_file(folder: Path, file: ScaleFile) -> Path:
    """Write glass of one level, and return its path."""
    path = folder / {"aperio": "a.svs", "ome": "a.ome.tiff", "plain": "a.tiff"}[file.kind]
    per_cm = None if file.tags_mpp is None else (1e4 / file.tags_mpp,) * 2
    tifffile.imwrite(
        path, np.full((*file.size[::-1], 3), 240, np.uint8), photometric="rgb", tile=(64, 64), software=False,
        description=file.text, metadata=None, resolution=per_cm, resolutionunit="CENTIMETER" if per_cm else None,
    )  # fmt: skip
    return path


LENGTHS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "micron": 1.0, "mm": 1e3, "cm": 1e4, "inch": 25_400.0, "thou": 25.4}
"""µm in a unit, as OME-XML and ImageJ call it."""
NO_LENGTHS = ("pixel", "reference frame", "parsec")


@st.composite
def units(draw: st.DrawFn) -> tuple[str, str, float | None]:
    """Draw who states a width of pixels, its unit, and the unit in µm, None where it is no length."""
    unit = draw(st.sampled_from([*LENGTHS, *NO_LENGTHS]))
    return draw(st.sampled_from(["ome", "imagej"])), unit, LENGTHS.get(unit)


def write_in_unit(folder: Path, writer: str, unit: str, um: float, mpp: float) -> Path:
    """Write glass whose pixels are ``mpp`` µm wide, as a program states it in a unit of ``um`` µm."""
    is_ome = writer == "ome"
    text = ScaleFile("ome", (160, 96), mpp, (160, 96), mpp / um, None).text
    text = text.replace("PhysicalSizeX=", f'PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}" PhysicalSizeX=')
    text = text if is_ome else f"ImageJ=1.54f\nimages=1\nunit={unit}\nloop=false\n"
    path = folder / ("a.ome.tiff" if is_ome else "a.tiff")
    with tifffile.TiffWriter(path, ome=False) as tiff:
        tiff.write(
            np.full((96, 160, 3), 240, np.uint8), photometric="rgb", tile=(64, 64), description=text.encode(),
            metadata=None, software=False, resolution=None if is_ome else (um / mpp, um / mpp), resolutionunit="NONE",
        )  # fmt: skip
    return path

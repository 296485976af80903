"""Masks as pictures of every mode that programs write. Nothing of the product is used."""

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

Tissue = NDArray[np.bool_]
"""Shape (height, width): what a person sees as tissue."""
Writer = Callable[[Path, Tissue], object]
RGB = {"red": (255, 0, 0), "white": (255, 255, 255), "black": (0, 0, 0), "green": (10, 160, 30)}


def values(tissue: Tissue, inside: int = 255, outside: int = 0, dtype: type = np.uint8) -> NDArray:
    return np.where(tissue, inside, outside).astype(dtype)


def colours(tissue: Tissue, inside: tuple[int, ...], outside: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.where(tissue[..., None], inside, outside).astype(np.uint8)


def png(path: Path, pixels: NDArray) -> None:
    path.with_suffix(".png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))


def tiff(path: Path, pixels: NDArray, **how) -> None:
    tifffile.imwrite(path.with_suffix(".tif"), pixels, **{"metadata": None, "compression": "deflate"} | how)


def png_palette(path: Path, tissue: Tissue, *shown: str) -> None:
    """Index 0 is the background, index 1 tissue, shown in two colours."""
    image = Image.fromarray(values(tissue, 1))
    image.putpalette([part for name in shown for part in RGB[name]])
    image.save(path.with_suffix(".png"))


def tiff_palette(path: Path, tissue: Tissue, *shown: str) -> None:
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(shown)] = np.array([RGB[name] for name in shown]).T * 257
    tiff(path, values(tissue, 1), photometric="palette", colormap=table)


def turned(path: Path, tissue: Tissue, suffix: str) -> None:
    """Store the picture upside down, and say so: viewers turn it back."""
    image, tags = Image.fromarray(values(tissue[::-1, ::-1])), Image.Exif()
    tags[274] = 3
    more = {"tiffinfo": {274: 3}} if suffix == ".tif" else {"exif": tags}
    image.save(path.with_suffix(suffix), **more)


def pyramid(path: Path, tissue: Tissue) -> None:
    with tifffile.TiffWriter(path.with_suffix(".tif")) as file:
        for factor in (1, 2):
            smaller = values(tissue)[::factor, ::factor]
            file.write(smaller, tile=(32, 32), subfiletype=int(factor > 1), metadata=None)


CLEAR: dict[str, Writer] = {
    "PNG": lambda path, tissue: png(path, values(tissue)),
    "PNG of ones": lambda path, tissue: png(path, values(tissue, 1)),
    "PNG of 16 bits": lambda path, tissue: png(path, values(tissue, 256, dtype=np.uint16)),
    "PNG of 1 bit": lambda path, tissue: Image.fromarray(tissue).save(path.with_suffix(".png")),
    "PNG in colours": lambda path, tissue: png(path, colours(tissue, (0, 200, 0), (0, 0, 0))),
    "PNG, white on nothing": lambda path, tissue: png(path, colours(tissue, (255,) * 4, (255, 255, 255, 0))),
    "PNG, grey with alpha": lambda path, tissue: png(path, colours(tissue, (90, 255), (0, 255))),
    "PNG palette": lambda path, tissue: png_palette(path, tissue, "black", "red"),
    "JPEG": lambda path, tissue: Image.fromarray(values(tissue)).save(path.with_suffix(".jpg"), quality=90),
    "TIFF": lambda path, tissue: tiff(path, values(tissue)),
    "TIFF, big-endian 16 bits": lambda path, tissue: tiff(path, values(tissue, 256, dtype=np.uint16), byteorder=">"),
    "TIFF of 1 bit": lambda path, tissue: tiff(path, tissue, compression=None, photometric="minisblack"),
    "TIFF whose zero is white": lambda path, tissue: tiff(path, values(tissue, 0, 255), photometric="miniswhite"),
    "TIFF of floats": lambda path, tissue: tiff(path, tissue.astype(np.float32)),
    "TIFF, colours apart": lambda path, tissue: tiff(
        path,
        np.moveaxis(colours(tissue, (0, 200, 0), (0, 0, 0)), -1, 0),
        photometric="rgb",
        planarconfig="separate",
    ),
    "TIFF palette": lambda path, tissue: tiff_palette(path, tissue, "black", "red"),
    "TIFF palette on white": lambda path, tissue: tiff_palette(path, tissue, "white", "green"),
    "TIFF pyramid": pyramid,
}
"""What can be taken in one way alone."""

UNCLEAR: dict[str, Writer] = {
    "PNG in colours on white": lambda path, tissue: png(path, colours(tissue, (200, 0, 90), (255, 255, 255))),
    "PNG in colours on clear white": lambda path, tissue: png(
        path, colours(tissue, (200, 0, 90, 255), (255, 255, 255, 0))
    ),
    "PNG, grey of 16 bits with alpha": lambda path, tissue: png(
        path, np.where(tissue[..., None], (1, 65535), (0, 65535)).astype(np.uint16)
    ),
    "PNG palette, its background last": lambda path, tissue: png_palette(path, ~tissue, "red", "black"),
    "TIFF palette, its background last": lambda path, tissue: tiff_palette(path, ~tissue, "red", "black"),
    "JPEG in ink": lambda path, tissue: Image.fromarray(colours(tissue, (0, 0, 0, 0), (0, 0, 0, 255)), "CMYK").save(
        path.with_suffix(".jpg")
    ),
    "JPEG turned": lambda path, tissue: turned(path, tissue, ".jpg"),
    "PNG turned": lambda path, tissue: turned(path, tissue, ".png"),
    "TIFF turned": lambda path, tissue: turned(path, tissue, ".tif"),
    "TIFF of True and False": lambda path, tissue: tiff(path, tissue, compression=None),
    "TIFF in ink": lambda path, tissue: tiff(
        path, colours(tissue, (0, 0, 0, 0), (0, 0, 0, 255)), photometric="separated"
    ),
}
"""What programs take in different ways: it may be refused."""

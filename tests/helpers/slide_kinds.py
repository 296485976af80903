"""One small slide of each kind that a reader takes, of tissue at 0.5 µm/px."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from paint import Page, Pyramid, aperio_text, paint_scan, shrink, write_ome, write_pages, write_series, write_zarr_image
from PIL import Image
from pylibCZIrw import czi

WIDTH, HEIGHT = 320, 256
SCAN = paint_scan(WIDTH, HEIGHT, 3)


def _tiff(folder: Path, stem: str, suffix: str, compression: Any) -> Path:
    aperio = suffix == ".svs"
    pages = [
        Page(shrink(SCAN, factor), reduced=factor > 1 and not aperio, compression=compression,
             text=aperio_text(WIDTH // factor, HEIGHT // factor) if aperio else None)
        for factor in (1, 2)
    ]  # fmt: skip
    return write_pages(folder / f"{stem}{suffix}", pages)


def _zarr(folder: Path, stem: str) -> Path:
    path = folder / f"{stem}.zarr"
    write_zarr_image(zarr.open_group(str(path), mode="w", zarr_format=2), SCAN, "yxc")
    return path


def _czi(folder: Path, stem: str) -> Path:
    path = folder / f"{stem}.czi"
    with czi.create_czi(str(path)) as file:
        file.write(np.ascontiguousarray(SCAN[..., ::-1]))
        file.write_metadata(document_name=stem, scale_x=0.5e-6, scale_y=0.5e-6)
    return path


def _picture(folder: Path, stem: str, suffix: str) -> Path:
    Image.fromarray(SCAN).save(path := folder / f"{stem}{suffix}", quality=90)
    return path


KINDS: dict[str, Callable[[Path, str], Path]] = {
    "svs": lambda folder, stem: _tiff(folder, stem, ".svs", "jpeg"),
    "svs of JPEG 2000": lambda folder, stem: _tiff(folder, stem, ".svs", 33005),
    "tif": lambda folder, stem: _tiff(folder, stem, ".tif", "deflate"),
    "tif of LZW": lambda folder, stem: _tiff(folder, stem, ".tif", "lzw"),
    "tif of WebP": lambda folder, stem: _tiff(folder, stem, ".tif", "webp"),
    "OME-TIFF": lambda folder, stem: write_ome(folder / f"{stem}.ome.tif", [SCAN], ["a"]),
    "DICOM": lambda folder, stem: write_series(folder / stem, [Pyramid((SCAN,), (0, 0), None)]),
    "OME-Zarr": _zarr,
    "CZI": _czi,
    "PNG": lambda folder, stem: _picture(folder, stem, ".png"),
    "JPEG": lambda folder, stem: _picture(folder, stem, ".jpg"),
}


def paint_kind(folder: Path, stem: str, kind: str) -> Path:
    """Write a slide of a kind, and return its file or folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return KINDS[kind](folder, stem)


def write_scales(folder: Path, stems: list[str]) -> Path:
    """Write the table that states 0.5 µm/px for each: pictures do not."""
    path = folder / "mpp.csv"
    path.write_text("wsi,mpp\n" + "".join(f"{stem},0.5\n" for stem in stems))
    return path

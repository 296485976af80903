"""Series of DICOM whole-slide instances, of two levels and no more than they need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, VLWholeSlideMicroscopyImageStorage, generate_uid

WIDTH, HEIGHT, TILE = 301, 203, 64
SHARED = {name: generate_uid() for name in ("StudyInstanceUID", "FrameOfReferenceUID")}


def cloudy(seed: int = 5) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 16 + 1, WIDTH // 16 + 1, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_instance(
    path: Path,
    pixels: np.ndarray,
    um: float,
    series: str,
    syntax: str,
    power: float | None,
    labels: Mapping[str, Any] = {},
) -> None:
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % TILE), (0, -width % TILE), (0, 0)))
    corners = [(x, y) for y in range(0, height, TILE) for x in range(0, width, TILE)]
    tiles = (np.ascontiguousarray(padded[y : y + TILE, x : x + TILE]) for x, y in corners)
    encode = imagecodecs.jpegls_encode if syntax == JPEGLSLossless else imagecodecs.jpeg2k_encode
    how = {} if syntax == JPEGLSLossless else {"level": 0, "reversible": True, "mct": False, "codecformat": "j2k"}
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = VLWholeSlideMicroscopyImageStorage, syntax
    meta.MediaStorageSOPInstanceUID = generate_uid()
    values = SHARED | {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "SeriesInstanceUID": series, "Modality": "SM", "Manufacturer": "Acme", "InstanceNumber": 1,
        "ImageType": ["DERIVED", "PRIMARY", "VOLUME", "NONE" if width == WIDTH else "RESAMPLED"],
        "DimensionOrganizationType": "TILED_FULL", "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0, "NumberOfFrames": len(corners), "Rows": TILE, "Columns": TILE, "BitsAllocated": 8,
        "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "TotalPixelMatrixColumns": width,
        "TotalPixelMatrixRows": height, "ImagedVolumeWidth": width * um / 1000,
        "ImagedVolumeHeight": height * um / 1000, "ImagedVolumeDepth": 0.0, "FocusMethod": "AUTO",
        "ExtendedDepthOfField": "NO",
        "ImageOrientationSlide": [0, -1, 0, -1, 0, 0], "SpecimenLabelInImage": "NO", **labels,
    }  # fmt: skip
    instance = FileDataset(str(path), values_of(values), file_meta=meta, preamble=b"\0" * 128)
    measures = values_of({"PixelSpacing": [um / 1000, um / 1000], "SliceThickness": 0.0})
    instance.SharedFunctionalGroupsSequence = [values_of({"PixelMeasuresSequence": [measures]})]
    light = {"OpticalPathIdentifier": "0"} | ({"ObjectiveLensPower": power} if power else {})
    instance.OpticalPathSequence = [values_of(light)]
    instance.TotalPixelMatrixOriginSequence = [
        values_of({"XOffsetInSlideCoordinateSystem": 0, "YOffsetInSlideCoordinateSystem": 0})
    ]
    instance.PixelData = encapsulate([encode(tile, **how) for tile in tiles])
    instance.save_as(path, enforce_file_format=True)


def values_of(values: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def write_series(
    folder: Path,
    name: str = "",
    *,
    syntax: str = JPEGLSLossless,
    seed: int = 5,
    power: float | None = 40,
    **labels: Any,
) -> Path:
    """Write a series of two levels, every pixel and every second one; ``labels`` are attributes of its header."""
    folder.mkdir(exist_ok=True)
    series = generate_uid()
    for step in (1, 2):
        pixels = np.ascontiguousarray(cloudy(seed)[::step, ::step])
        write_instance(folder / f"{name}{step}.dcm", pixels, 0.25 * step, series, syntax, power, labels)
    return folder

"""Files that claim more pixels than they store: the heads of TIFFs, written by hand, and of DICOM."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from dicom_series import SHARED, values_of
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage, generate_uid

LARGEST = 2**31 - 1
"""The largest number of four bytes with a sign."""
JPEG, DEFLATE, NONE = 7, 8, 1
"""TIFF tag Compression."""
TYPES = {2: "c", 3: "H", 4: "I", 5: "II", 16: "Q"}
"""Number of a type in TIFF to its letter in ``struct``."""


def encode_tile(side: int, compression: int, colour: tuple[int, int, int] = (200, 80, 150)) -> bytes:
    """Return a stored tile of one colour."""
    pixels = np.full((side, side, 3), colour, np.uint8)
    if compression == JPEG:
        return bytes(imagecodecs.jpeg8_encode(pixels, colorspace="rgb", outcolorspace="rgb"))
    return bytes(imagecodecs.zlib_encode(pixels.tobytes())) if compression == DEFLATE else pixels.tobytes()


@dataclass(frozen=True)
class TiffClaim:
    """The head of a TIFF: what it says of its pixels, and where its stored tiles or strips lie."""

    width: int
    height: int
    places: Sequence[tuple[int, int]]
    """Offset, from the first byte that is stored, and length of each tile or strip."""
    stored: bytes
    tile: int | None = 256
    """Side of a tile, px; None: strips of ``rows``."""
    rows: int = 1
    compression: int = JPEG
    per_cm: tuple[int, int] = (20_000, 1)
    """XResolution and YResolution."""
    text: str = ""

    def write(self, path: Path) -> Path:
        """Write it as BigTIFF."""
        begins = 16
        offsets = [begins + offset if length else 0 for offset, length in self.places]
        lengths = [length for _, length in self.places]
        values = [
            (254, 4, [0]), (256, 4, [self.width]), (257, 4, [self.height]), (258, 3, [8, 8, 8]),
            (259, 3, [self.compression]), (262, 3, [2]), (277, 3, [3]), (282, 5, [self.per_cm]),
            (283, 5, [self.per_cm]),
            (284, 3, [1]), (296, 3, [3]),
        ]  # fmt: skip
        if self.tile:
            values += [(322, 4, [self.tile]), (323, 4, [self.tile]), (324, 16, offsets), (325, 4, lengths)]
        else:
            values += [(273, 16, offsets), (278, 4, [self.rows]), (279, 4, lengths)]
        if self.text:
            values.append((270, 2, [bytes([byte]) for byte in self.text.encode() + b"\0"]))
        path.write_bytes(_big_tiff(self.stored, sorted(values)))
        return path


def _big_tiff(stored: bytes, values: Sequence[tuple[int, int, Sequence]]) -> bytes:
    """Return a BigTIFF of one page whose pixels come first."""
    at = 16 + len(stored)
    entries, long = b"", b""
    for tag, kind, numbers in values:
        parts = (number if isinstance(number, tuple) else (number,) for number in numbers)
        packed = b"".join(struct.pack(f"<{TYPES[kind]}", *part) for part in parts)
        if len(packed) > 8:
            entries += struct.pack("<HHQQ", tag, kind, len(numbers), at + len(long))
            long += packed
        else:
            entries += struct.pack("<HHQ", tag, kind, len(numbers)) + packed.ljust(8, b"\0")
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, at + len(long))
    return head + stored + long + struct.pack("<Q", len(values)) + entries + bytes(8)


def write_dicom_claim(
    path: Path,
    width: int,
    height: int,
    *,
    tile: int = 256,
    frames: int | None = None,
    stored: int = 1,
    places: Sequence[tuple[int, int]] | None = None,
    spacing_mm: float = 0.0005,
) -> Path:
    """Write an instance that claims ``frames`` and stores some; ``places``: where tiles lie, of TILED_SPARSE."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = VLWholeSlideMicroscopyImageStorage, JPEGBaseline8Bit
    meta.MediaStorageSOPInstanceUID = generate_uid()
    values = SHARED | {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "SeriesInstanceUID": generate_uid(), "Modality": "SM", "Manufacturer": "Acme", "InstanceNumber": 1,
        "ImageType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        "DimensionOrganizationType": "TILED_FULL" if places is None else "TILED_SPARSE", "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0,
        "NumberOfFrames": stored if frames is None else frames, "Rows": tile, "Columns": tile, "BitsAllocated": 8,
        "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "TotalPixelMatrixColumns": width,
        "TotalPixelMatrixRows": height, "ImagedVolumeWidth": 10.0, "ImagedVolumeHeight": 10.0,
        "ImagedVolumeDepth": 0.0, "FocusMethod": "AUTO", "ExtendedDepthOfField": "NO",
        "ImageOrientationSlide": [0, -1, 0, -1, 0, 0], "SpecimenLabelInImage": "NO",
    }  # fmt: skip
    instance = FileDataset(str(path), values_of(values), file_meta=meta, preamble=b"\0" * 128)
    measures = values_of({"PixelSpacing": [spacing_mm, spacing_mm], "SliceThickness": 0.0})
    instance.SharedFunctionalGroupsSequence = [values_of({"PixelMeasuresSequence": [measures]})]
    instance.OpticalPathSequence = [values_of({"OpticalPathIdentifier": "0", "ObjectiveLensPower": 20})]
    origin = {"XOffsetInSlideCoordinateSystem": 0, "YOffsetInSlideCoordinateSystem": 0}
    instance.TotalPixelMatrixOriginSequence = [values_of(origin)]
    if places is not None:
        instance.PerFrameFunctionalGroupsSequence = [_placed(x, y) for x, y in places]
    instance.PixelData = encapsulate([encode_tile(tile, JPEG)] * stored)
    instance.save_as(path, enforce_file_format=True)
    return path


def _placed(x: int, y: int):
    position = {"ColumnPositionInTotalImagePixelMatrix": x + 1, "RowPositionInTotalImagePixelMatrix": y + 1}
    return values_of({"PlanePositionSlideSequence": [values_of(position)]})

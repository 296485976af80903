"""Slides whose every pixel is known: TIFF, OME-TIFF, QPTIFF, Aperio, OME-Zarr, DICOM. Nothing of the product is used.

A scan is tissue of its own colours on glass, so that a pixel tells which scan it is of, and where it lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, VLWholeSlideMicroscopyImageStorage, generate_uid

Pixels = NDArray[Any]
GLASS = 244
TILE = 64
MPP = 0.5
LOSSLESS = 1.0
"""Mean difference of two pictures, of 255, up to which they are one."""
LOSSY = 5.0


def paint_scan(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """Return tissue on glass, RGB, shape (height, width, 3)."""
    chance = np.random.default_rng(seed)
    low, high = np.array([120, 40, 90]), np.array([230, 170, 210])
    coarse = chance.uniform(low, high, (height // 16 + 2, width // 16 + 2, 3)).astype(np.float32)
    colours = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    tissue = np.zeros((height, width), np.uint8)
    cv2.ellipse(tissue, (int(width * 0.5), int(height * 0.5)), (int(width * 0.4), int(height * 0.4)), 0, 0, 360, 1, -1)
    return np.where(tissue[..., None] > 0, colours, GLASS).astype(np.uint8)


def shrink(pixels: Pixels, factor: float) -> NDArray[np.uint8]:
    """Return pixels averaged down, sides rounded."""
    height, width = pixels.shape[:2]
    size = max(1, round(width / factor)), max(1, round(height / factor))
    return np.asarray(pixels if factor == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def difference(a: Pixels, b: Pixels) -> float:
    """Return the mean difference of two pictures of one size, or 255 where they have two."""
    return float(np.abs(a.astype(int) - b).mean()) if a.shape == b.shape else 255.0


@dataclass(frozen=True)
class Page:
    """One page of a TIFF to be written."""

    pixels: Pixels
    reduced: bool = False
    text: str | None = None
    photometric: str = "rgb"
    compression: str = "deflate"
    tiled: bool = True
    more: dict[str, Any] = field(default_factory=dict)


def write_pages(path: Path, pages: Sequence[Page]) -> Path:
    """Write pages in this order; each states 0.5 µm, so that none says which of them is the slide."""
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(
                page.pixels, photometric=page.photometric, compression=page.compression, description=page.text,
                tile=(TILE, TILE) if page.tiled else None, subfiletype=int(page.reduced), software=False,
                metadata=None, resolution=(1e4 / MPP, 1e4 / MPP), resolutionunit="CENTIMETER", **page.more,
            )  # fmt: skip
    return path


def aperio_text(width: int, height: int, picture: str = "") -> str:
    """Return what Aperio says of a page."""
    text = "Aperio Image Library v12.0.15\r\n"
    return text + (
        f"{picture} {width}x{height}"
        if picture
        else f"{width}x{height} [0,0 {width}x{height}] (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = {MPP}"
    )


def qpi_text(kind: str, name: str = "") -> str:
    """Return what PerkinElmer says of a page."""
    named = f"<Name>{name}</Name>" if name else ""
    return (
        f"<?xml version='1.0'?><PerkinElmer-QPI-ImageDescription><ImageType>{kind}</ImageType>{named}"
        "</PerkinElmer-QPI-ImageDescription>"
    )


def write_ome(path: Path, scans: Sequence[Pixels], names: Sequence[str], **more: Any) -> Path:
    """Write images of equal standing, each with its half as SubIFD."""
    with tifffile.TiffWriter(path, ome=True) as writer:
        for scan, name in zip(scans, names, strict=True):
            about = {"axes": "YXS", "Name": name, "PhysicalSizeX": MPP, "PhysicalSizeY": MPP} | more
            how: dict[str, Any] = {"photometric": "rgb", "tile": (TILE, TILE), "compression": "deflate"}
            writer.write(scan, subifds=1, metadata=about, **how)
            writer.write(shrink(scan, 2), subfiletype=1, metadata=None, **how)
    return path


def write_zarr_image(group: Any, pixels: Pixels, letters: str, channels: Sequence[tuple[str, str]] = ()) -> None:
    """Write NGFF 0.4 of two levels into a group: ``letters`` are axes, ``channels`` names and colours, as stored."""
    sets = []
    for number, factor in enumerate((1, 2)):
        level = shrink(pixels, factor).reshape(*shrink(pixels, factor).shape[:2], -1)
        level = level.transpose(["yxc".index(letter) for letter in letters if letter in "yxc"])
        sides = iter(level.shape)
        level = level.reshape([next(sides) if letter in "yxc" else 1 for letter in letters])
        chunks = tuple(256 if letter in "yx" else size for letter, size in zip(letters, level.shape, strict=True))
        array = group.create_array(str(number), shape=level.shape, chunks=chunks, dtype=level.dtype)
        array[...] = level
        scale = [MPP * factor if letter in "yx" else 1.0 for letter in letters]
        sets.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    kinds = {"t": {"type": "time"}, "c": {"type": "channel"}}
    space = {"type": "space", "unit": "micrometer"}
    axes = [{"name": letter} | kinds.get(letter, space) for letter in letters]
    omero = [{"label": name, "color": colour} for name, colour in channels]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": sets}]
    if omero:
        group.attrs["omero"] = {"channels": omero}


def dataset_of(**values: Any) -> Dataset:
    """Return a DICOM data set of these attributes."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


@dataclass(frozen=True)
class Pyramid:
    """One pyramid of a DICOM series."""

    planes: tuple[Pixels, ...]
    """Focal planes of level 0."""
    origin: tuple[float, float]
    """mm on the glass."""
    uid: str | None
    factors: tuple[int, ...] = (1, 2)
    apart: bool = False
    """Each focal plane is an instance of its own."""


def write_series(folder: Path, pyramids: Sequence[Pyramid]) -> Path:
    """Write a DICOM series, an instance a level, and return its folder."""
    folder.mkdir()
    series = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    for number, pyramid in enumerate(pyramids):
        for factor in pyramid.factors:
            planes = [shrink(plane, factor) for plane in pyramid.planes]
            for z, stored in enumerate([[plane] for plane in planes] if pyramid.apart else [planes]):
                name = f"{number}-{factor}{f'-{z}' if pyramid.apart else ''}.dcm"
                write_instance(folder / name, stored, factor, pyramid, series, z / 1000)
    return folder


def write_instance(
    path: Path, planes: Sequence[Pixels], factor: int, pyramid: Pyramid, series: dict[str, str], z_mm: float
) -> None:
    """Write one level of a pyramid."""
    height, width = planes[0].shape[:2]
    tiles = [tile for plane in planes for tile in tiles_of(plane)]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = VLWholeSlideMicroscopyImageStorage, JPEG2000Lossless
    meta.MediaStorageSOPInstanceUID = generate_uid()
    um = MPP * factor / 1000
    values: dict[str, Any] = dict(  # noqa: C408 - keywords of DICOM
        SOPClassUID=meta.MediaStorageSOPClassUID, SOPInstanceUID=meta.MediaStorageSOPInstanceUID, Modality="SM",
        InstanceNumber=1, ImageType=["DERIVED", "PRIMARY", "VOLUME", "NONE" if factor == 1 else "RESAMPLED"],
        DimensionOrganizationType="TILED_FULL", SamplesPerPixel=3, PhotometricInterpretation="RGB",
        PlanarConfiguration=0, NumberOfFrames=len(tiles), Rows=TILE, Columns=TILE, BitsAllocated=8, BitsStored=8,
        HighBit=7, PixelRepresentation=0, TotalPixelMatrixColumns=width, TotalPixelMatrixRows=height,
        TotalPixelMatrixFocalPlanes=len(planes), ImagedVolumeWidth=width * um, ImagedVolumeHeight=height * um,
        ImagedVolumeDepth=0.0, FocusMethod="AUTO", ExtendedDepthOfField="NO",
        ImageOrientationSlide=[0, -1, 0, -1, 0, 0], SpecimenLabelInImage="NO", NumberOfOpticalPaths=1,
        Manufacturer="x", ContainerIdentifier="c",
    )  # fmt: skip
    values |= series | ({"PyramidUID": pyramid.uid} if pyramid.uid else {})
    instance = FileDataset(str(path), dataset_of(**values), file_meta=meta, preamble=b"\0" * 128)
    measures = dataset_of(PixelSpacing=[um, um], SliceThickness=0.001, SpacingBetweenSlices=0.001)
    groups = dataset_of(PixelMeasuresSequence=[measures])
    if pyramid.apart:
        place = {f"{axis}OffsetInSlideCoordinateSystem": at for axis, at in zip("XYZ", (0.0, 0.0, z_mm), strict=True)}
        groups.PlanePositionSlideSequence = [dataset_of(**place)]
    instance.SharedFunctionalGroupsSequence = [groups]
    instance.OpticalPathSequence = [dataset_of(OpticalPathIdentifier="0", ObjectiveLensPower=20)]
    x, y = pyramid.origin
    instance.TotalPixelMatrixOriginSequence = [
        dataset_of(XOffsetInSlideCoordinateSystem=x, YOffsetInSlideCoordinateSystem=y)
    ]
    how = {"level": 0, "reversible": True, "mct": False, "codecformat": "j2k"}
    instance.PixelData = encapsulate([imagecodecs.jpeg2k_encode(tile, **how) for tile in tiles])
    instance["PixelData"].is_undefined_length = True
    instance.save_as(path, enforce_file_format=True)


def tiles_of(pixels: Pixels) -> list[Pixels]:
    """Return the tiles of a picture, row by row, those at its edge filled up."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % TILE), (0, -width % TILE), (0, 0)), constant_values=255)
    return [
        np.ascontiguousarray(padded[y : y + TILE, x : x + TILE])
        for y in range(0, height, TILE)
        for x in range(0, width, TILE)
    ]


def forget_frames(path: Path, absent: set[tuple[int, int]], shuffle: int | None = None) -> None:
    """Make an instance TILED_SPARSE, without the tiles of these rows and columns, the others in any order."""
    instance = dcmread(path)
    frames = list(generate_frames(instance.PixelData, number_of_frames=instance.NumberOfFrames))
    columns = -(-instance.TotalPixelMatrixColumns // TILE)
    kept = [frame for frame in range(len(frames)) if divmod(frame, columns) not in absent]
    if shuffle is not None:
        np.random.default_rng(shuffle).shuffle(kept)
    groups = []
    for row, column in (divmod(frame, columns) for frame in kept):
        on_glass = {f"{axis}OffsetInSlideCoordinateSystem": 0.0 for axis in "XYZ"}
        place = dataset_of(
            ColumnPositionInTotalImagePixelMatrix=column * TILE + 1,
            RowPositionInTotalImagePixelMatrix=row * TILE + 1,
            **on_glass,
        )
        index = dataset_of(DimensionIndexValues=[column + 1, row + 1])
        groups.append(dataset_of(PlanePositionSlideSequence=[place], FrameContentSequence=[index]))
    instance.DimensionOrganizationType, instance.PerFrameFunctionalGroupsSequence = "TILED_SPARSE", groups
    instance.NumberOfFrames, instance.PixelData = len(kept), encapsulate([frames[frame] for frame in kept])
    instance["PixelData"].is_undefined_length = True
    instance.save_as(path, enforce_file_format=True)


def frames_of(content: bytes | bytearray) -> list[tuple[int, int]]:
    """Return where each frame begins, and its length: the items after the table of offsets."""
    at, frames = content.index(b"\xfe\xff\x00\xe0", content.index(b"\xe0\x7f\x10\x00OB")), []
    while content[at : at + 4] == b"\xfe\xff\x00\xe0":
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        frames.append((at + 8, size))
        at += 8 + size
    return frames[1:]

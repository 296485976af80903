"""What the other formats hold: DICOM instances, Zarr arrays, CZI scenes, ordinary pictures."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atlaspatch_core.operations.slide_files.values import FileContents, FilePart
from atlaspatch_core.slides.dicom_files import instances
from atlaspatch_core.slides.readers.image import open_image
from atlaspatch_core.slides.readers.omezarr import register_codecs
from atlaspatch_core.slides.readers.omezarr_levels import Image, find_image, images_of
from atlaspatch_core.slides.slide import SlideInfo

DICOM_TAGS = [
    "BitsStored", "Columns", "ImageType", "OpticalPathSequence", "PhotometricInterpretation", "Rows", "SamplesPerPixel",
    "TotalPixelMatrixColumns", "TotalPixelMatrixFocalPlanes", "TotalPixelMatrixRows",
]  # fmt: skip
FLAVOURS = {"VOLUME": "scan", "LABEL": "label", "OVERVIEW": "macro", "THUMBNAIL": "thumbnail"}
"""Third value of ImageType (DICOM PS3.3, VL whole slide microscopy) to what the picture is."""


class LevelsBySize:
    """Gives each level of a slide away once, to the first part of its size."""

    def __init__(self, info: SlideInfo | None) -> None:
        self._sizes = {number: (level.width, level.height) for number, level in enumerate(info.levels if info else ())}

    def claim_level(self, size: tuple[int, int]) -> int | None:
        """Return the finest level of this size that is still to be had."""
        number = next((number for number, level_size in self._sizes.items() if level_size == size), None)
        if number is not None:
            del self._sizes[number]
        return number


def dicom_contents(path: Path, info: SlideInfo | None, series: int | None) -> FileContents:  # noqa: ARG001
    """Return the instances of a series. Raises ImportError without the extra ``dicom``."""
    read = [(file, header_of(file)) for file in instances(path)]
    read.sort(key=lambda one: -int(one[1].get("TotalPixelMatrixColumns") or 0))
    levels = LevelsBySize(info)
    parts = tuple(instance_part(file.name, header, levels) for file, header in read)
    headers = [header for (_, header), part in zip(read, parts, strict=True) if part.level == 0]
    planes = max([int(header.get("TotalPixelMatrixFocalPlanes") or 1) for header in headers], default=1)
    profiles = [path.get("ICCProfile") for header in headers for path in header.get("OpticalPathSequence") or ()]
    return FileContents(parts, focal_planes=planes, icc_profile=next(filter(None, profiles), b""))


def header_of(file: Path) -> Any:
    """Return the elements of a DICOM file that are looked at; none of one that is no DICOM."""
    from pydicom import Dataset, dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(file, stop_before_pixels=True, specific_tags=DICOM_TAGS)
    except InvalidDicomError:
        return Dataset()


def instance_part(name: str, header: Any, levels: LevelsBySize) -> FilePart:
    """Return what the header of a DICOM instance says."""
    tile = int(header.get("Columns") or 0), int(header.get("Rows") or 0)
    size = tuple(int(header.get(f"TotalPixelMatrix{side}") or 0) for side in ("Columns", "Rows"))
    size = (size[0], size[1]) if all(size) else tile
    flavour = [*(header.get("ImageType") or ()), "", "", ""][2]
    role = FLAVOURS.get(flavour, "picture") if all(size) else "damaged"
    level = levels.claim_level(size) if role == "scan" else None
    return FilePart(
        kind="instance",
        name=name,
        width=size[0],
        height=size[1],
        tile=tile,
        compression=getattr(getattr(header, "file_meta", {}).get("TransferSyntaxUID"), "name", ""),
        samples=int(header.get("SamplesPerPixel") or 0) or None,
        bits=int(header.get("BitsStored") or 0) or None,
        colours=str(header.get("PhotometricInterpretation") or ""),
        role=role if level is None else "level",
        level=level,
    )


def zarr_contents(path: Path, info: SlideInfo | None, series: int | None) -> FileContents:
    """Return the arrays of the images of a store. Raises ImportError without the extra ``omezarr``."""
    import zarr

    register_codecs()
    node = zarr.open(str(path), mode="r")
    opened = find_image(path, node, series)[0] if info else None
    parts = tuple(
        part for number, one in enumerate(images_of(path, node)) for part in arrays_of(number, one, opened, info)
    )
    sizes = dict(zip(opened.axes.letters, opened.levels[0].shape, strict=True)) if opened else {}
    return FileContents(parts, focal_planes=int(sizes.get("z", 1)), time_points=int(sizes.get("t", 1)))


def arrays_of(number: int, image: Image, opened: Image | None, info: SlideInfo | None) -> Iterator[FilePart]:
    """Yield the arrays of one image of a store."""
    is_opened = opened is not None and image.levels[0].path == opened.levels[0].path
    levels = LevelsBySize(info if is_opened else None)
    for place, array in enumerate(image.levels):
        size = image.axes.size(array.shape)
        level = levels.claim_level(size)
        role = "level" if level is not None else "reduction" if place else "scan"
        yield FilePart(
            kind="array",
            name=array.path or "/",
            width=size[0],
            height=size[1],
            tile=image.axes.size(array.chunks),
            compression=", ".join(codec_name(codec) for codec in array.compressors) or "none",
            samples=image.axes.channels(array.shape),
            bits=array.dtype.itemsize * 8,
            colours=image.name,
            role=role,
            level=level,
            series=None if place else number,
        )


def codec_name(codec: Any) -> str:
    """Return what a codec of Zarr is called."""
    return str(getattr(codec, "codec_id", "") or type(codec).__name__.removesuffix("Codec").lower())


def czi_contents(path: Path, info: SlideInfo | None, series: int | None) -> FileContents:
    """Return the mosaic and its scenes. Raises ImportError without the extra ``czi``."""
    from pylibCZIrw import czi

    with czi.open_czi(str(path)) as file:
        whole, kinds = file.total_bounding_rectangle_no_pyramid, list(file.pixel_types.values())
        bits, samples = (8 if kinds[0].endswith(("24", "8")) else 16), (3 if kinds[0].startswith("Bgr") else 1)
        how = {"samples": samples * len(kinds), "bits": bits, "colours": ", ".join(kinds)}
        scenes = file.scenes_bounding_rectangle_no_pyramid
        scene = series if len(scenes) > 1 else None
        level = 0 if info and scene is None else None
        role = "level" if level == 0 else "scan"
        mosaic = FilePart("picture", "mosaic", whole.w, whole.h, role=role, level=level, **how)
        parts = [
            scene_part(number, box, len(scenes) > 1, info and scene == number, how) for number, box in scenes.items()
        ]
        box = file.total_bounding_box
        return FileContents((mosaic, *parts), box.get("Z", (0, 1))[1], box.get("T", (0, 1))[1])


def scene_part(number: int, box: Any, can_choose: bool, is_taken: bool | None, how: Mapping[str, Any]) -> FilePart:
    """Return a scene of a CZI; where there are several, each can be the slide."""
    role, level = ("level", 0) if is_taken else ("piece", None)
    series = number if can_choose else None
    return FilePart("scene", str(number), box.w, box.h, role=role, level=level, series=series, **how)


def picture_contents(path: Path, info: SlideInfo | None, series: int | None) -> FileContents:  # noqa: ARG001
    """Return the first frame of a picture."""
    with open_image(path) as image:
        bits = {"1": 1, "I;16": 16, "I;16B": 16, "I": 32, "F": 32}.get(image.mode, 8)
        part = FilePart(
            kind="picture",
            name="0",
            width=image.width,
            height=image.height,
            compression=image.format or "",
            samples=len(image.getbands()),
            bits=bits,
            colours=image.mode,
            has_alpha=image.has_transparency_data,
            role="level" if info else "scan",
            level=0 if info else None,
        )
        return FileContents((part,), icc_profile=image.info.get("icc_profile") or b"")

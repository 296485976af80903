"""What OpenSlide opens and must not be shown: fluorescence, deep samples, several pyramids as one."""

import re
from collections.abc import Mapping
from pathlib import Path

from atlaspatch_core.errors import AtlasPatchError, UnreadableSlide
from atlaspatch_core.slides.dicom_files import pyramid_count
from atlaspatch_core.slides.mpp import Mpp, StatedMpp
from atlaspatch_core.slides.readers.advice import EXPORT
from atlaspatch_core.slides.readers.images import check_only_image
from atlaspatch_core.slides.readers.openslide_tiff import OTHER
from atlaspatch_core.slides.readers.reader import UnsupportedSlide
from atlaspatch_core.slides.readers.tiff import open_tiff
from atlaspatch_core.slides.slide import Region, stem_of
from atlaspatch_core.wording import format_count

FLUORESCENCE = (
    ("mirax.GENERAL.SLIDE_TYPE", "fluor"),
    ("dicom.OpticalPathSequence[0].IlluminationTypeCodeSequence[0].CodeValue", "^111743$"),
    ("dicom.NumberOfOpticalPaths", "^([2-9]|1[0-9])$"),
    ("zeiss.Information.Image.SizeC", "^([2-9]|1[0-9])$"),
    ("zeiss.Information.Image.PixelType", r"^(?!Bgr24$|Gray8$)\w"),
)
"""Properties and what they hold in slides that are no brightfield of 8 bits. In DICOM, 111743 is epifluorescence."""

SCENE = re.compile(r"openslide\.region\[\d+\]\.x")
"""Property that OpenSlide has for each scene of a CZI."""


def check_brightfield(path: Path, properties: Mapping[str, str]) -> None:
    """Raise UnreadableSlide where a vendor's own properties say that it is fluorescence, or deeper than 8 bits."""
    name = next((key for key, words in FLUORESCENCE if re.search(words, properties.get(key, ""), re.IGNORECASE)), None)
    if name:
        raise UnreadableSlide(
            f"{stem_of(path)}: {name} is {properties[name]}, and only brightfield of 8 bits can be shown as it is; "
            f"{EXPORT}"
        )


def check_scene(path: Path, properties: Mapping[str, str], series: int | None) -> None:
    """Raise UnsupportedSlide where one of several scenes of a CZI is asked for: OpenSlide shows them as one picture.

    Of other formats it knows one image, and another number is UnreadableSlide.
    """
    scenes = sum(bool(SCENE.fullmatch(key)) for key in properties)
    if series is None or properties.get("openslide.vendor") != "zeiss" or scenes < 2:
        check_only_image(path, series)
        return
    raise UnsupportedSlide(
        f"{stem_of(path)}: {path.name} holds {scenes} scenes, and OpenSlide cannot choose one; {OTHER}"
    )


def check_one_pyramid(path: Path, series: int | None) -> None:
    """Raise UnsupportedSlide for a DICOM series of several pyramids, whose levels OpenSlide mixes."""
    pyramids = pyramid_count(path)
    if pyramids > 1 or series is not None:
        raise UnsupportedSlide(
            f"{stem_of(path)}: its DICOM series holds {format_count(pyramids, 'pyramid')}, and OpenSlide "
            f"cannot choose one; {OTHER}"
        )


def is_decoded_as_tiff(path: Path, region: Region) -> bool:
    """Tell whether the reader of TIFFs, which knows other compressions and byte counts, decodes a region."""
    try:
        with open_tiff(path, StatedMpp(Mpp(1.0, ""))) as slide:
            slide.read_region(region)
    except (AtlasPatchError, IndexError):
        return False
    return True

"""DICOM whole-slide images through wsidicom: the instances of one series, in a folder or beside the file named."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.dicom_files import files_by_pyramid, instances, is_dicom, is_series_folder, series_of
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.readers.advice import COPY, EXPORT
from atlaspatch_core.slides.readers.content import is_not
from atlaspatch_core.slides.readers.damage import DAMAGED_FILE, refuse_damage
from atlaspatch_core.slides.readers.dicom_claims import check_instances
from atlaspatch_core.slides.readers.dicom_extents import files_by_extent
from atlaspatch_core.slides.readers.dicom_frames import FrameChecks
from atlaspatch_core.slides.readers.dicom_lost import check_all_shown
from atlaspatch_core.slides.readers.images import (
    ImageChoice,
    choose_image,
    other_images,
    planes_note,
    section_numbers,
)
from atlaspatch_core.slides.readers.reader import Reader, import_extra
from atlaspatch_core.slides.readers.windows import Window, WindowedSlide, describe
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.wording import format_count

NAME = "dicom"
LABELS = {"Manufacturer": "dicom.vendor", "InstitutionName": "dicom.institutionname"}
"""DICOM keyword to property."""
READ = [
    "BitsStored", "OpticalPathSequence", "PhotometricInterpretation", "SamplesPerPixel", "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows",
]  # fmt: skip
"""Further keywords that are looked at."""
COLOURS = frozenset({"RGB", "MONOCHROME2", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
"""DICOM's PhotometricInterpretation of samples that can be shown."""
EPIFLUORESCENCE = "111743"
"""DICOM CID 8123, microscopy illumination methods."""


def recognises(path: Path) -> bool:
    """Say whether the file is DICOM, or the folder holds DICOM files of one series."""
    return is_series_folder(path) if path.is_dir() else is_dicom(path)


def open_dicom(path: Path, stated: StatedMpp, series: int | None = None) -> WindowedSlide:
    """Open the series; pixels that no tile holds are white."""
    with ExitStack() as opened:
        return open_series(path, opened.enter_context(opened_pyramids(path)), stated, series, opened)


def sections_of(path: Path) -> tuple[int, ...]:
    """Return the numbers of the pyramids of a series that holds several. Raises UnreadableSlide, MissingExtra."""
    with opened_pyramids(path) as pyramids:
        choices = choices_of(pyramids)
        chosen = choose_image(path, choices, None)
        return section_numbers(chosen, [one for one in choices if one is not chosen])


@dataclass(frozen=True, slots=True)
class DicomPyramid:
    """A pyramid of an open series."""

    slide: Any
    number: int
    """Among those of ``slide``, which wsidicom tells apart by their place on the glass."""
    files: tuple[Path, ...]
    """The instances that ``slide`` was opened with."""

    @property
    def levels(self) -> list[Any]:
        """Finest first."""
        return list(list(self.slide.pyramids)[self.number])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of level 0, px."""
        size = self.slide.pyramids[self.number].size
        return size.width, size.height


@contextmanager
def opened_pyramids(path: Path) -> Iterator[list[DicomPyramid]]:
    """Give the pyramids of a series, the widest first; those of several PyramidUIDs are never taken for one.

    Raises UnreadableSlide, also of damage that is met while they are open; MissingExtra.
    """
    library, files = import_extra("wsidicom", "dicom", stem_of(path)), instances_of_one_series(path)
    what, errors = f"{stem_of(path)}: {path.name}", (*library_errors(), *DAMAGED_FILE)
    check_instances(path, files)
    with refuse_damage(lambda error: f"{what} {why_not_open(files, error)}", errors), ExitStack() as opened:
        groups = [scan for group in files_by_pyramid(files) for scan in files_by_extent(group)]
        slides = [(group, opened.enter_context(library.WsiDicom.open(group))) for group in groups]
        for group, slide in slides:
            check_all_shown(path, group, slide)
        numbered = [(group, slide, number) for group, slide in slides for number in range(len(slide.pyramids))]
        pyramids = [DicomPyramid(slide, number, group) for group, slide, number in numbered]
        yield sorted(pyramids, key=lambda pyramid: pyramid.size, reverse=True)


def choices_of(pyramids: Sequence[DicomPyramid]) -> list[ImageChoice]:
    """Return pyramids as images to choose from."""
    return [ImageChoice(number, *pyramid.size) for number, pyramid in enumerate(pyramids)]


def why_not_open(files: tuple[Path, ...], error: BaseException) -> str:
    """Return what to say of instances that wsidicom opens none of: colours that it does not know, or its error."""
    from pydicom import dcmread

    try:
        headers = [
            dcmread(file, stop_before_pixels=True, specific_tags=["PhotometricInterpretation"]) for file in files
        ]
        meant = {str(header.get("PhotometricInterpretation", "RGB")) for header in headers}
    except (*library_errors(), *DAMAGED_FILE):
        meant = set()
    if unknown := sorted(meant - COLOURS):
        return f"has samples that are {', '.join(unknown)}, and only RGB and grey of 8 bits can be shown; {EXPORT}"
    return f"is no whole-slide image that wsidicom can open ({str(error) or type(error).__name__}); {COPY}"


def library_errors() -> tuple[type[Exception], ...]:
    """Return what wsidicom and pydicom raise; their errors have no base of their own."""
    from pydicom import errors as of_pydicom
    from wsidicom import errors as of_wsidicom

    kinds = [*vars(of_wsidicom).values(), *vars(of_pydicom).values()]
    return tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))


def instances_of_one_series(path: Path) -> tuple[Path, ...]:
    """Return the files of the slide. Raises UnreadableSlide where they are none, or several slides."""
    stem, files = stem_of(path), instances(path) if recognises(path) or path.is_dir() else ()
    if not files:
        raise UnreadableSlide(f"{stem}: {path.name} {is_not(path, 'DICOM')}")
    number = len({series_of(file) for file in files})
    if number > 1:
        raise UnreadableSlide(
            f"{stem}: {path} holds {number} DICOM series, each a slide; name one file of a series, "
            f"or give each series a folder"
        )
    return files


def open_series(
    path: Path, pyramids: Sequence[DicomPyramid], stated: StatedMpp, series: int | None, opened: ExitStack
) -> WindowedSlide:
    """Return the slide of an open series: its largest pyramid, or the one asked for. ``opened`` is closed with it."""
    choices = choices_of(pyramids)
    chosen = choose_image(path, choices, series)
    pyramid = pyramids[chosen.number]
    levels = pyramid.levels
    sizes = [(level.size.width, level.size.height) for level in levels]
    header = header_of(pyramid.files, *sizes[0])
    check_header(path, header, levels[0])
    spacing = {"dicom.PixelSpacing-x": levels[0].mpp.width, "dicom.PixelSpacing-y": levels[0].mpp.height}
    properties = {key: repr(um) for key, um in spacing.items()} | properties_of(header)
    others = [] if series is not None else [one for one in choices if one is not chosen]
    notes = (*other_images(chosen, others), *planes_of(levels[0]))
    info = describe(path, NAME, sizes, properties, stated, notes=notes)
    checks = opened.enter_context(closing(FrameChecks(pyramid.files, sizes)))
    read = partial(read_window, pyramid.slide, pyramid.number, [level.level for level in levels], checks)
    return WindowedSlide(info, read, opened.pop_all().close)


def planes_of(level: Any) -> tuple[str, ...]:
    """Return a clause on the focal plane that is shown, where there are several."""
    planes = sorted(level.focal_planes)
    shown = level.default_instance.default_z
    return planes_note(len(planes), planes.index(shown) + 1) if shown in planes else ()


def check_header(path: Path, header: Any, level: Any) -> None:
    """Raise UnreadableSlide for what is no brightfield of 8 bits: several optical paths, deep or negative samples."""
    bits, paths = header.get("BitsStored", 8), len(level.optical_paths)
    samples, meant = header.get("SamplesPerPixel", 3), str(header.get("PhotometricInterpretation", "RGB"))
    light = {code.get("CodeValue") for path in header.get("OpticalPathSequence") or () for code in lights_of(path)}
    if bits <= 8 and paths == 1 and (samples == 3 or meant == "MONOCHROME2") and EPIFLUORESCENCE not in light:
        return
    what = "fluorescence, as its illumination says, with " if EPIFLUORESCENCE in light else ""
    raise UnreadableSlide(
        f"{stem_of(path)}: it has {what}{format_count(paths, 'optical path')} of {format_count(samples, 'sample')} "
        f"({meant}) of {bits} bits, and only RGB and grey of 8 bits can be shown; "
        f"{EXPORT}"
    )


def lights_of(path: Any) -> Any:
    """Return the codes of an optical path's illumination."""
    return path.get("IlluminationTypeCodeSequence") or ()


def header_of(files: tuple[Path, ...], width: int, height: int) -> Any:
    """Return the pydicom data set, without pixels, of an instance of level 0."""
    from pydicom import dcmread

    headers = (dcmread(file, stop_before_pixels=True, specific_tags=[*LABELS, *READ]) for file in files)
    size = width, height
    of_size = (one for one in headers if (one.get("TotalPixelMatrixColumns"), one.get("TotalPixelMatrixRows")) == size)
    return next(of_size, {})


def properties_of(header: Any) -> dict[str, str]:
    """Return maker, laboratory and magnification."""
    properties = {key: str(header.get(keyword) or "") for keyword, key in LABELS.items()}
    paths = header.get("OpticalPathSequence") or ()
    powers = {str(path.ObjectiveLensPower) for path in paths if path.get("ObjectiveLensPower")}
    return properties | ({"dicom.ObjectiveLensPower": powers.pop()} if len(powers) == 1 else {})


def read_window(slide: Any, pyramid: int, levels: list[int], checks: FrameChecks, window: Window) -> NDArray[np.uint8]:
    """Return the RGB pixels of a window, shape (height, width, 3)."""
    corner, size = (window.left, window.top), (window.width, window.height)
    try:
        checks.check(window)
        return np.asarray(slide.read_region(corner, levels[window.level], size, pyramid=pyramid).convert("RGB"))
    except library_errors() as error:
        raise ValueError(str(error)) from error


DICOM = Reader(
    name=NAME,
    suffixes=(),
    recognises=recognises,
    open=open_dicom,
    is_folder=is_series_folder,
    sections=sections_of,
)
"""Of the suffixes .dcm and .dicom OpenSlide is asked first."""

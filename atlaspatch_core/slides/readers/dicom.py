"""DICOM whole-slide images through wsidicom: the instances of one series, in a folder or beside the file named."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.dicom_files import instances, is_dicom, is_series_folder, series_of
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.readers.advice import COPY, EXPORT
from atlaspatch_core.slides.readers.content import is_not
from atlaspatch_core.slides.readers.damage import DAMAGED_FILE, is_own_fault
from atlaspatch_core.slides.readers.dicom_frames import FrameChecks
from atlaspatch_core.slides.readers.images import ImageChoice, choose_image, other_images, planes_note
from atlaspatch_core.slides.readers.reader import Reader, import_extra
from atlaspatch_core.slides.readers.windows import Window, WindowedSlide, describe
from atlaspatch_core.slides.slide import stem_of

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
    stem = stem_of(path)
    library = import_extra("wsidicom", "dicom", stem)
    files = instances_of_one_series(path)
    with ExitStack() as opened:
        try:
            slide = opened.enter_context(library.WsiDicom.open(files))
            found = open_series(path, files, slide, stated, series)
        except (*library_errors(), *DAMAGED_FILE) as error:
            if is_own_fault(error):
                raise
            raise UnreadableSlide(f"{stem}: {path.name} {why_not_open(files, error)}") from error
        opened.pop_all()  # the slide closes it
        return found


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
    path: Path, files: tuple[Path, ...], slide: Any, stated: StatedMpp, series: int | None
) -> WindowedSlide:
    """Return the slide of an open series, which is closed with it: its largest pyramid, or the one asked for."""
    pyramids = list(slide.pyramids)
    choices = [ImageChoice(number, one.size.width, one.size.height) for number, one in enumerate(pyramids)]
    chosen = choose_image(path, choices, series)
    levels = list(pyramids[chosen.number])
    sizes = [(level.size.width, level.size.height) for level in levels]
    header = header_of(files, *sizes[0])
    check_header(path, header, levels[0])
    spacing = {"dicom.PixelSpacing-x": levels[0].mpp.width, "dicom.PixelSpacing-y": levels[0].mpp.height}
    properties = {key: repr(um) for key, um in spacing.items()} | properties_of(header)
    others = [] if series is not None else [one for one in choices if one is not chosen]
    notes = (*other_images(chosen, others), *planes_of(levels[0]))
    info = describe(path, NAME, sizes, properties, stated, notes=notes)
    checks = FrameChecks(files, sizes)
    read = partial(read_window, slide, chosen.number, [level.level for level in levels], checks)
    return WindowedSlide(info, read, lambda: (slide.close(), checks.close()))


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
        f"{stem_of(path)}: it has {what}{paths} optical path{'' if paths == 1 else 's'} of {samples} sample"
        f"{'' if samples == 1 else 's'} ({meant}) of {bits} bits, and only RGB and grey of 8 bits can be shown; "
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
    found = {key: str(header.get(keyword) or "") for keyword, key in LABELS.items()}
    paths = header.get("OpticalPathSequence") or ()
    powers = {str(path.ObjectiveLensPower) for path in paths if path.get("ObjectiveLensPower")}
    return found | ({"dicom.ObjectiveLensPower": powers.pop()} if len(powers) == 1 else {})


def read_window(slide: Any, pyramid: int, levels: list[int], checks: FrameChecks, window: Window) -> NDArray[np.uint8]:
    """Return the RGB pixels of a window, shape (height, width, 3)."""
    corner, size = (window.left, window.top), (window.width, window.height)
    try:
        checks.check(window)
        return np.asarray(slide.read_region(corner, levels[window.level], size, pyramid=pyramid).convert("RGB"))
    except library_errors() as error:
        raise ValueError(str(error)) from error


DICOM = Reader(name=NAME, suffixes=(), recognises=recognises, open=open_dicom, is_folder=is_series_folder)
"""Of the suffixes .dcm and .dicom OpenSlide is asked first."""

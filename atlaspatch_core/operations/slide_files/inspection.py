"""What a slide's file holds, what is taken of it, and why."""

from dataclasses import replace
from pathlib import Path

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.discovery.usable_names import name_fault
from atlaspatch_core.errors import AtlasPatchError, KilledReader
from atlaspatch_core.operations.slide_files.associated import listed_contents
from atlaspatch_core.operations.slide_files.opening import AS_THEY_ARE, open_anyway, read_corner, reader_verdicts
from atlaspatch_core.operations.slide_files.other_contents import (
    czi_contents,
    dicom_contents,
    picture_contents,
    zarr_contents,
)
from atlaspatch_core.operations.slide_files.scales import stated_magnifications, stated_scales
from atlaspatch_core.operations.slide_files.tiff_contents import tiff_contents
from atlaspatch_core.operations.slide_files.values import FileContents, FileInspection
from atlaspatch_core.slides.files import slide_files
from atlaspatch_core.slides.isolated import call_reader
from atlaspatch_core.slides.readers import Refused, czi, dicom, image, omezarr
from atlaspatch_core.slides.readers.absent_tiles import find_absent_tiles
from atlaspatch_core.slides.readers.damage import DAMAGED_FILE
from atlaspatch_core.slides.readers.tiff import is_tiff
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.slides.stated_scales import described_page

FORMATS = (
    (omezarr.recognises, zarr_contents),
    (is_tiff, tiff_contents),
    (dicom.recognises, dicom_contents),
    (czi.recognises, czi_contents),
    (image.recognises, picture_contents),
    (Path.exists, listed_contents),
)
"""How a file is told to be of a format, and how what it holds is listed."""


def inspect_slide_file(source: SlideSource, slides: Slides = AS_THEY_ARE) -> FileInspection:
    """Return what a slide's file holds, what is taken of it, and why; a slide that is refused is no exception.

    Args:
        source: The slide, and the µm per px that the user states of it.
        slides: How slides are opened: reader, properties that state the scale.

    Returns:
        What ``open_slide`` gives, or why it refuses; each reader's answer; all pictures of the file; all statements of
        its scale, one of which counts.

    Example:
        >>> found = inspect_slide_file(sources[0])
        >>> [part.role for part in found.contents.parts]
        ['level', 'thumbnail', 'label', 'macro']
        >>> [(scale.source, scale.x) for scale in found.scales if scale.counts]
        [('openslide.mpp-x', 0.499)]
    """
    try:
        return call_reader(source.stem, "while it was looked at", inspect_here, source, slides)
    except KilledReader as crash:
        files, size = files_and_bytes(source.readable)
        contents = FileContents(unknown="looking at it ended the process")
        return FileInspection(source.stem, source.path, files, size, (), contents, None, False, str(crash))


def inspect_here(source: SlideSource, slides: Slides) -> FileInspection:
    """Return the same, from what this process opens."""
    refused: dict[str, AtlasPatchError] = {}
    info, error, has_scale = _opened(source, slides, refused.__setitem__)
    readers = reader_verdicts(source, slides, info.reader if info and has_scale else None, refused)
    contents = file_contents(source.readable, info and info.as_stored, info.series if info else None)
    files, size = files_and_bytes(source.readable)
    error = error or name_fault(source.stem, source.path)
    inspection = FileInspection(source.stem, source.path, files, size, readers, contents, info, has_scale, error)
    if info is None:
        return replace(inspection, warnings=source.notes)
    inspection = _with_statements(inspection, info, is_users=source.mpp is not None)
    return replace(inspection, warnings=(*source.notes, *inspection.warnings))


def _opened(source: SlideSource, slides: Slides, on_refusal: Refused) -> tuple[SlideInfo | None, str, bool]:
    """Return what opening gives, what is wrong, and whether the slide has a scale."""
    info, wrong_scale = None, ""
    try:
        slide, wrong_scale = open_anyway(source, slides, on_refusal)
        with slide:
            info = slide.info
            read_corner(slide)
    except AtlasPatchError as error:
        return info, wrong_scale or str(error), info is not None and not wrong_scale
    return info, wrong_scale, not wrong_scale


def _with_statements(inspection: FileInspection, info: SlideInfo, *, is_users: bool) -> FileInspection:
    """Return an inspection with what is said of scale and magnification, warnings, and what is not stored."""
    absent = {one.level: len(one.boxes) for one in find_absent_tiles(info)}
    return replace(
        inspection,
        scales=stated_scales(info, has_scale=inspection.has_scale, is_users=is_users and inspection.has_scale),
        magnifications=stated_magnifications(info, has_scale=inspection.has_scale),
        described_page=described_page(info.properties),
        warnings=info.warnings(has_scale=inspection.has_scale),
        absent_tiles=tuple(absent.get(number, 0) for number in range(len(info.levels))),
    )


def file_contents(path: Path, info: SlideInfo | None, series: int | None) -> FileContents:
    """Return the pictures of a file; of one that cannot be followed, why."""
    try:
        listed = next(listed for is_of_format, listed in FORMATS if is_of_format(path))
        return listed(path, info, series)
    except StopIteration:
        return FileContents(unknown="it is not there")
    except (*DAMAGED_FILE, ImportError, AtlasPatchError) as error:
        return FileContents(unknown=" ".join(str(error).split()) or type(error).__name__)


def files_and_bytes(path: Path) -> tuple[int, int]:
    """Return of how many files a slide consists, and their size; what cannot be looked at does not count."""
    try:
        sizes = [file.stat().st_size for file in slide_files(path)]
    except OSError:
        return 0, 0
    return len(sizes), sum(sizes)

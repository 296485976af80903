"""The images of a TIFF: which of its pages is the slide, which are its levels, and what else the file holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.hidden_names import are_names_hidden
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.readers.images import (
    PICTURE,
    ImageChoice,
    choose_image,
    is_smaller_copy,
    planes_note,
)
from atlaspatch_core.slides.readers.tiff_channels import (
    CHANNEL_NAME,
    IMAGE_TYPE,
    check_apart,
    check_channels,
    check_samples,
)
from atlaspatch_core.slides.readers.tiff_claims import check_page_claim
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.slides.tiles.samples import colour_samples, is_colour

BY_PAGE = ("generic", "uniform", "svs", "qpi", "avs")
"""Kinds of files, as tifffile calls them, whose pages are images of their own. Of the others it knows the axes."""
MASK = 4
"""Bit of the TIFF tag NewSubfileType."""


@dataclass(frozen=True, slots=True, eq=False)
class TiffImage:
    """One image of a TIFF: a page, or a series of pages of which tifffile knows the axes."""

    choice: ImageChoice
    page: tifffile.TiffPage
    """The first, or only, page at full size."""
    series: tifffile.TiffPageSeries | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TiffContents:
    """What is taken of a TIFF, and what a person should know of the rest."""

    pages: tuple[tifffile.TiffPage, ...]
    """One a level, finest first."""
    chosen: ImageChoice
    others: tuple[TiffImage, ...] = ()
    """Scans that are not the slide; one of its proportions may be the slide again, smaller and not marked as such."""
    notes: tuple[str, ...] = ()
    """On planes that are not shown."""


def find_contents(path: Path, tiff: tifffile.TiffFile, series: int | None) -> TiffContents:
    """Return the pages of the slide: the largest scan, or the image that is asked for, and its reductions.

    Its reductions have its proportions on both sides and its samples: SubIFDs (OME-TIFF), pages that are marked as
    reduced, tiled pages of Aperio. Label, macro and thumbnail are none, however they are stored.
    Raises UnreadableSlide for pixels that are no brightfield, or are not there.
    """
    images = images_of(tiff)
    chosen = choose_image(path, [image.choice for image in images], series)
    image = next(one for one in images if one.choice is chosen)
    full, notes = page_of(path, tiff, image)
    check_samples(path, full)
    check_grey_pages(path, image, full, images, series)
    check_channels(path, tiff, None if image.series is None else chosen.number, full)
    levels = [page for page in candidates(tiff, full) if is_reduction(page, full)]
    levels.sort(key=lambda page: -page.imagewidth)
    for page in (full, *levels):
        check_page_claim(path, page)
    rest = () if series is not None else tuple(others(images, image, levels))
    return TiffContents((full, *levels), chosen, rest, notes)


def images_of(tiff: tifffile.TiffFile) -> list[TiffImage]:
    """Return the images of a file in its order: pages, or series. Raises ValueError where there is none."""
    if tiff.series and tiff.series[0].kind not in BY_PAGE:
        return [series_image(tiff, number, series) for number, series in enumerate(tiff.series)]
    pages = [page.aspage() for page in tiff.pages]
    largest = max((page.imagewidth * page.imagelength for page in pages if page.is_tiled), default=0)
    return [
        TiffImage(ImageChoice(page.index, page.imagewidth, page.imagelength, is_scan(page, largest)), page)
        for page in pages
    ]


def series_image(tiff: tifffile.TiffFile, number: int, series: tifffile.TiffPageSeries) -> TiffImage:
    """Return the image of a series; its name tells whether it is a picture of the glass.

    One whose pixels lie in another file of the set is not this file's slide, unless it is asked for.
    """
    page = series.keyframe
    is_picture = bool(PICTURE.search(series.name)) or bool(page.subfiletype & MASK)
    is_scan_here = not is_picture and page.parent is tiff
    return TiffImage(ImageChoice(number, page.imagewidth, page.imagelength, is_scan_here), page, series)


def is_scan(page: tifffile.TiffPage, largest: int = 0) -> bool:
    """Tell whether a page may be a scan: it is no mask, is not called a picture, and is tiled where larger ones are.

    ``largest``: px of the largest page of tiles; thumbnail, label and macro mostly lie in strips beside it.
    """
    if page.subfiletype & MASK or (not page.is_tiled and page.imagewidth * page.imagelength <= largest):
        return False
    if kind := IMAGE_TYPE.search(page.description[:4096]):
        return kind[1] in ("FullResolution", "ReducedResolution")
    heads = [line.strip() for line in page.description[:400].splitlines()[:2]]
    return not any(PICTURE.match(head) for head in heads)


def page_of(path: Path, tiff: tifffile.TiffFile, image: TiffImage) -> tuple[tifffile.TiffPage, tuple[str, ...]]:
    """Return the page of an image that is shown, and clauses on planes that are not: the middle one, the first time.

    Raises UnreadableSlide for channels that are pages of their own.
    """
    series = image.series
    if series is None:
        return image.page, ()
    sizes = [(axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXS"]
    if series.keyframe.planarconfig != 1 and series.keyframe.samplesperpixel > 1:
        sizes = []
    for axis, size in sizes:
        if axis == "C" or (axis not in "ZT" and not is_colour(series.keyframe)):
            check_apart(path, size)
    shape = [size for _, size in sizes]
    chosen = [size // 2 if axis == "Z" else 0 for axis, size in sizes]
    number = int(np.ravel_multi_index(chosen, shape)) if shape else 0
    page = series.pages[number] if number < len(series.pages) else None
    if page is None:
        raise UnreadableSlide(f"{stem_of(path)}: page {number} of {path.name} is not stored; {COPY}")
    page = page.aspage()
    if page.parent is not tiff:
        other = "another file" if are_names_hidden() else page.parent.filename
        raise UnreadableSlide(
            f"{stem_of(path)}: the pixels of {path.name} lie in {other}; name that file, or export the slide as one "
            f"file"
        )
    kinds = {"Z": "focal planes", "T": "time points"}
    notes = [
        planes_note(size, place + 1, kinds.get(axis, "pages"))
        for (axis, size), place in zip(sizes, chosen, strict=True)
    ]
    return page, tuple(note for one in notes for note in one)


def check_grey_pages(
    path: Path, image: TiffImage, full: tifffile.TiffPage, images: Sequence[TiffImage], series: int | None
) -> None:
    """Raise UnreadableSlide for several grey pages of one size, which are channels unless one of them is asked for."""
    if series is not None or is_colour(full) or image.series is not None:
        return
    alike = [
        other.page
        for other in images
        if other.choice.is_scan and other.choice.area == image.choice.area and not other.page.is_reduced
    ]
    check_apart(path, len(alike), [name for page in alike for name in CHANNEL_NAME.findall(page.description)[:1]])


def candidates(tiff: tifffile.TiffFile, full: tifffile.TiffPage) -> Iterator[tifffile.TiffPage]:
    """Yield the pages that may be coarser levels of a page."""
    yield from (page.aspage() for page in full.pages or ())
    pages = (page.aspage() for page in tiff.pages)
    marked = (page for page in pages if page.is_reduced or (tiff.is_svs and page.is_tiled))
    yield from (page for page in marked if is_scan(page))


def is_reduction(page: tifffile.TiffPage, full: tifffile.TiffPage) -> bool:
    """Tell whether a page has the proportions of level 0 on both sides, its samples, and fewer pixels."""
    alike = colour_samples(page) == colour_samples(full)
    return alike and is_smaller_copy(page.imagewidth, page.imagelength, full.imagewidth, full.imagelength)


def others(images: Sequence[TiffImage], image: TiffImage, levels: Sequence[tifffile.TiffPage]) -> list[TiffImage]:
    """Return the scans that are neither the slide nor a reduction of it, or of another scan."""
    offsets = {image.page.offset, *(level.offset for level in levels)}
    rest = [one for one in images if one.choice.is_scan and one.page.offset not in offsets]
    scans = [one for one in rest if not one.page.is_reduced]
    return [one for one in rest if one in scans or not any(is_reduction(one.page, scan.page) for scan in scans)]

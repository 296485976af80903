"""What the pages of a TIFF are."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import tifffile

from atlaspatch_core.operations.slide_files.associated import named_by_size
from atlaspatch_core.operations.slide_files.values import FileContents, FilePart
from atlaspatch_core.slides.readers.cucim import CUCIM
from atlaspatch_core.slides.readers.images import PICTURE
from atlaspatch_core.slides.readers.openslide_tiff import VENDORS
from atlaspatch_core.slides.readers.tiff import SILENCE, TIFF
from atlaspatch_core.slides.readers.tiff_channels import IMAGE_TYPE
from atlaspatch_core.slides.readers.tiff_images import BY_PAGE, MASK, TiffImage, find_contents, images_of
from atlaspatch_core.slides.readers.tiff_levels import COMPRESSION_NAMES, photometric_name
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.slides.tiles.samples import alpha_of

NumberedPage = tuple[str, tifffile.TiffPage]


def tiff_contents(path: Path, info: SlideInfo | None, series: int | None) -> FileContents:
    """Return the pages of a TIFF in its order, each with its reductions; ``info`` is the open slide, if it opens.

    Raises what tifffile raises of a damaged file.
    """
    logging.getLogger("tifffile").addHandler(SILENCE)
    with tifffile.TiffFile(path) as tiff:
        images = {image.page.offset: image for image in images_of(tiff)}
        can_choose = info is None or takes_pages(info)
        levels = level_pages(path, tiff, info, series)
        planes = {offset for image in images.values() for offset in plane_offsets(image)}
        parts = tuple(
            part_of(name, page, levels.get(page.offset), images.get(page.offset), info, is_plane=page.offset in planes)
            for name, page in numbered_pages(tiff)
        )
        parts = parts if can_choose else tuple(replace(part, series=None) for part in parts)
        full = next((page for _, page in numbered_pages(tiff) if levels.get(page.offset) == 0), None)
        axes = axes_of(images, full)
        profile = bytes(full.iccprofile or b"") if full else b""
        return FileContents(parts, axes.get("Z", 1), axes.get("T", 1), profile)


def numbered_pages(tiff: tifffile.TiffFile) -> Iterator[NumberedPage]:
    """Yield every page and, after it, its reductions."""
    for number, frame in enumerate(tiff.pages):
        page = frame.aspage()
        yield str(number), page
        for below, reduced in enumerate(page.pages or ()):
            yield f"{number}/{below}", reduced.aspage()


def level_pages(path: Path, tiff: tifffile.TiffFile, info: SlideInfo | None, series: int | None) -> dict[int, int]:
    """Return where a page begins in the file to the level of the slide that it is."""
    if info is None:
        return {}
    own = find_contents(path, tiff, series).pages if takes_pages(info) else [page for _, page in numbered_pages(tiff)]
    levels: dict[int, int] = {}
    for number, level in enumerate(info.levels):
        sizes = {(level.width, level.height), scanned_size(info, level)}
        page = next(
            (page for page in own if page.offset not in levels and any(covers(page, size) for size in sizes)), None
        )
        levels |= {} if page is None else {page.offset: number}
    return levels


def takes_pages(info: SlideInfo) -> bool:
    """Tell whether pages are images, one of which is taken; the formats of other makers have an order of their own."""
    return info.reader in (TIFF.name, CUCIM.name) or info.vendor in VENDORS


def scanned_size(info: SlideInfo, level: Level) -> tuple[int, int]:
    """Return width and height of what was scanned, px of a level, which is all that Leica stores."""
    if info.bounds is None:
        return level.width, level.height
    across, down = level.downsamples
    return round(info.bounds.width / across), round(info.bounds.height / down)


def covers(page: tifffile.TiffPage, size: tuple[int, int]) -> bool:
    """Tell whether a page has a size, or exceeds it by less than a tile, as Philips fills up its last ones."""
    right, bottom = page.imagewidth - size[0], page.imagelength - size[1]
    return 0 <= right < max(page.tilewidth, 1) and 0 <= bottom < max(page.tilelength, 1)


def plane_offsets(image: TiffImage) -> set[int]:
    """Return where the planes of an image begin that is a series of pages; empty where it has one page."""
    if image.series is None or image.series.kind in BY_PAGE or len(image.series.pages) < 2:
        return set()
    return {page.offset for page in image.series.pages if page is not None}


def axes_of(images: dict[int, TiffImage], full: tifffile.TiffPage | None) -> dict[str, int]:
    """Return the letters of the axes of the image that a page is of, with their sizes."""
    for image in images.values():
        if full and image.series and full.offset in {image.page.offset, *plane_offsets(image)}:
            return dict(zip(image.series.axes, image.series.shape, strict=True))
    return {}


def part_of(
    name: str,
    page: tifffile.TiffPage,
    level: int | None,
    image: TiffImage | None,
    info: SlideInfo | None,
    *,
    is_plane: bool,
) -> FilePart:
    """Return what is known of a page."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    return FilePart(
        kind="page",
        name=name,
        width=page.imagewidth,
        height=page.imagelength,
        tile=(page.tilewidth, page.tilelength) if page.is_tiled else None,
        compression=COMPRESSION_NAMES.get(int(page.compression)) or getattr(page.compression, "name", "unknown"),
        samples=page.samplesperpixel,
        bits=bits,
        colours=photometric_name(page),
        has_alpha=alpha_of(page) > 0,
        role="level" if level is not None else role_of(page, image, info, is_plane=is_plane),
        level=level,
        series=image.choice.number if image else None,
    )


def role_of(page: tifffile.TiffPage, image: TiffImage | None, info: SlideInfo | None, *, is_plane: bool) -> str:
    """Return what a page is that is no level."""
    if page.subfiletype & MASK:
        return "mask"
    if (image is None or not image.choice.is_scan) and (called := picture_name(page, image, info)):
        return called
    if image and image.choice.is_scan and not page.is_reduced:
        return "scan"
    if is_plane:
        return "plane"
    return "picture" if image and not image.choice.is_scan else "reduction"


def picture_name(page: tifffile.TiffPage, image: TiffImage | None, info: SlideInfo | None) -> str:
    """Return what a picture of the glass is called, by its text, its series, or the reader; empty where it is none."""
    texts: Sequence[str] = [line.strip() for line in page.description[:400].splitlines()[:2]]
    if kind := IMAGE_TYPE.search(page.description[:4096]):
        texts = [kind[1]]
    name = next((match[1].lower() for text in texts if (match := PICTURE.match(text))), "")
    of_series = PICTURE.search(image.series.name) if image and image.series else None
    size = page.imagewidth, page.imagelength
    return name or (of_series[1].lower() if of_series else "") or (named_by_size(info, size) if info else "")

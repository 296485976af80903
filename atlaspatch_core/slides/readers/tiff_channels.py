"""What the channels of a TIFF are, as its pages and its descriptions say: brightfield, or refused by name."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.hidden_names import are_names_hidden
from atlaspatch_core.slides.channels import check_grey, colour_order
from atlaspatch_core.slides.readers.advice import COPY, EXPORT
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.slides.tiles.samples import GREY, is_brightfield, is_colour

IMAGE_TYPE = re.compile(r"<ImageType>\s*(\w+)")
"""What PerkinElmer says of a page of a QPTIFF."""
FORMATS = {2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}
"""TIFF tag SampleFormat, but for whole numbers from 0 on."""
CHANNEL_NAME = re.compile(r"<(?:Biomarker|Name)>\s*([^<]+?)\s*</")


def check_samples(path: Path, page: tifffile.TiffPage) -> None:
    """Raise UnreadableSlide for a page without pixels, and for samples that are no brightfield colours."""
    if not (page.imagewidth and page.imagelength and page.dataoffsets):
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} is cut short or damaged: a page of it has no pixels; {COPY}"
        )
    if not is_brightfield(page):
        raise UnreadableSlide(f"{stem_of(path)}: {path.name} has {samples_of(page)}; {EXPORT}")


def samples_of(page: tifffile.TiffPage) -> str:
    """Return how many samples of how many bits a pixel has, and why they cannot be shown."""
    photometric = getattr(page.photometric, "name", str(page.photometric))
    if page.bitspersample == 16 and is_colour(page) and page.samplesperpixel == 3:
        why = "whose largest value is stated nowhere (the TIFF tag MaxSampleValue would); only 8-bit RGB and grey"
    else:
        why = "and only 8-bit RGB and grey"
    form = FORMATS.get(page.sampleformat, "") if isinstance(page.sampleformat, int) else "different "
    kind = f"{page.samplesperpixel} × {page.bitspersample}-bit {form}samples a pixel ({photometric})"
    return f"{kind}, {why} can be shown as they are"


def check_apart(path: Path, channels: int, names: Sequence[str] = ()) -> None:
    """Raise UnreadableSlide for several channels that are kept apart."""
    if channels > 1:
        called = f" ({', '.join(names)})" if names and not are_names_hidden() else ""
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} keeps {channels} channels apart{called}, as fluorescence does; only RGB or "
            f"grey can be shown, so merge them (Bio-Formats: `bfconvert -merge`) or export it as RGB"
        )


def check_channels(path: Path, tiff: tifffile.TiffFile, series: int | None, full: tifffile.TiffPage) -> None:
    """Raise UnreadableSlide where names or colours of the channels of an image say that they are no brightfield.

    ``series`` is its number where tifffile knows the file's series, ``full`` its page.
    """
    if tiff.is_ome:
        channels = list(ome_channels(tiff.ome_metadata or "", series, full))
    elif IMAGE_TYPE.search(full.description[:4096]) and not is_colour(full):
        channels = [(name, "") for name in CHANNEL_NAME.findall(full.description)[:1]]
    else:
        return
    names, colours = [name for name, _ in channels], [colour for _, colour in channels]
    try:
        if is_colour(full) and len(channels) == 3:
            check_order(colour_order(names, colours))
        elif len(channels) == 1 and full.photometric in GREY:
            check_grey(names[0], colours[0])
    except ValueError as error:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} has {error}, which is fluorescence, or no red, green and blue; only "
            f"brightfield can be shown as it is; {EXPORT}"
        ) from error


def check_order(order: tuple[int, int, int]) -> None:
    """Raise ValueError for samples of an RGB page that call themselves something else."""
    if order != (0, 1, 2):
        raise ValueError("three samples that are RGB by the page and in another order by the channels' names")


def ome_channels(xml: str, number: int | None, page: tifffile.TiffPage) -> Iterator[tuple[str, str]]:
    """Yield name and colour (six hex digits, empty where none is stated) of the channels of an image in OME-XML.

    It is the one of the ``number``, or where tifffile cannot follow the images, the first of the size of the ``page``.
    """
    try:
        root = ElementTree.fromstring(xml.encode())
    except ElementTree.ParseError:
        return
    images = [one for one in root if one.tag.rpartition("}")[2] == "Image"]
    if number is None:
        images = [one for one in images if has_size(one, page.imagewidth, page.imagelength)]
    for channel in (part for image in images[number or 0 :][:1] for part in image.iter()):
        if channel.tag.rpartition("}")[2] == "Channel":
            yield channel.get("Name", ""), ome_colour(channel.get("Color"))


def has_size(image: ElementTree.Element, width: int, height: int) -> bool:
    """Tell whether an image of OME-XML is of this size."""
    size = str(width), str(height)
    return any((pixels.get("SizeX"), pixels.get("SizeY")) == size for pixels in image.iter())


def ome_colour(stated: str | None) -> str:
    """Return the RGB of OME's signed RGBA number as six hex digits; empty for white, its default, and for none."""
    try:
        rgb = (int(stated or "-1") & 0xFFFFFFFF) >> 8
    except ValueError:
        return ""
    return "" if rgb == 0xFFFFFF else f"{rgb:06x}"

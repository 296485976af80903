"""What a TIFF says of itself: its tags, Aperio's list, and OME-XML, as properties."""

import math
from collections.abc import Iterator
from xml.etree import ElementTree

import tifffile

from atlaspatch_core.slides.lengths import um_of, unknown_unit
from atlaspatch_core.slides.stated_scales import OTHER_PAGE, OTHER_PAGE_MPP

RESOLUTION_UNITS = {1: "none", 2: "inch", 3: "centimeter"}
"""TIFF tag 296."""
TEXT_TAGS = {"Make": "tiff.make", "Model": "tiff.model"}


def properties_of(tiff: tifffile.TiffFile, page: tifffile.TiffPage, number: int = 0) -> dict[str, str]:
    """Return the properties of the slide whose level 0 is ``page``, named as ``mpp`` and ``labels`` ask.

    ``number``: of the image that the page is of, which tells several of one size apart.
    """
    properties = dict(_tags(page))
    if tiff.is_ome:
        return properties | dict(_ome(tiff.pages.first.description, (page.imagewidth, page.imagelength), number))
    if page.description.startswith("Aperio"):
        properties |= dict(_aperio(page.description))
    return properties | {"tiff.ImageDescription": page.description}


def _tags(page: tifffile.TiffPage) -> Iterator[tuple[str, str]]:
    for name, key in TEXT_TAGS.items():
        if page.tags.valueof(name):
            yield key, str(page.tags.valueof(name)).strip()
    unit = page.tags.valueof("ResolutionUnit")
    for side in "XY":
        per_unit = page.tags.valueof(f"{side}Resolution")
        if isinstance(per_unit, tuple) and len(per_unit) == 2 and unit in RESOLUTION_UNITS:
            yield f"tiff.{side}Resolution", repr(quotient(*per_unit))
            yield "tiff.ResolutionUnit", RESOLUTION_UNITS[unit]


def quotient(above: float, below: float) -> float:
    """Return a fraction; infinite or not a number where its denominator is 0."""
    return above / below if below else above * math.inf


def _aperio(description: str) -> Iterator[tuple[str, str]]:
    yield "aperio.vendor", "aperio"
    for part in description.split("|")[1:]:
        key, separator, text = part.partition("=")
        if separator:
            yield f"aperio.{key.strip()}", text.strip()


def _ome(xml: str, size: tuple[int, int], number: int) -> Iterator[tuple[str, str]]:
    """Yield what OME-XML says of the image of this size, or that it describes another; nothing where it is no XML.

    Of several of the size it is the one of the ``number``, or the first.
    """
    try:
        root = ElementTree.fromstring(xml.encode())
    except ElementTree.ParseError:
        return
    described = [
        (image, pixels) for image in root.iter(_any("Image", root)) for pixels in image[:] if _is_pixels(pixels)
    ]
    sizes = [_sides(pixels) for _, pixels in described]
    if size in sizes:
        is_numbered = number < len(sizes) and sizes[number] == size
        image, pixels = described[number if is_numbered else sizes.index(size)]
        yield from ((f"ome.PhysicalSize{side}", repr(um)) for side in "XY" if (um := _um(pixels, side)) is not None)
        for side in "YX":  # of two the last counts
            yield from unknown_unit(pixels.get(f"PhysicalSize{side}"), pixels.get(f"PhysicalSize{side}Unit", "µm"))
        yield from _objective(root, image)
        return
    others = [(*sides, _um(pixels, "X")) for (_, pixels), sides in zip(described, sizes, strict=True) if sides]
    if others:
        *largest, um = max(others, key=lambda one: one[0] * one[1])
        yield OTHER_PAGE, "{}x{}".format(*largest)
        yield OTHER_PAGE_MPP, "" if um is None else repr(um)


def _is_pixels(element: ElementTree.Element) -> bool:
    return element.tag.rpartition("}")[2] == "Pixels"


def _sides(pixels: ElementTree.Element) -> tuple[int, int] | None:
    stated = [pixels.get(f"Size{side}", "") for side in "XY"]
    return (int(stated[0]), int(stated[1])) if all(side.isdecimal() and int(side) for side in stated) else None


def _um(pixels: ElementTree.Element, side: str) -> float | None:
    return um_of(pixels.get(f"PhysicalSize{side}"), pixels.get(f"PhysicalSize{side}Unit", "µm"))


def _objective(root: ElementTree.Element, image: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Yield the magnification of the objective that the image names, or of the only one."""
    settings = image.find(_any("ObjectiveSettings", root))
    objectives = list(root.iter(_any("Objective", root)))
    named = [one for one in objectives if settings is not None and one.get("ID") == settings.get("ID")]
    for one in named or (objectives if len(objectives) == 1 else []):
        yield "ome.NominalMagnification", one.get("NominalMagnification", "")


def _any(name: str, root: ElementTree.Element) -> str:
    """Return an element's name in the namespace of the document."""
    return f"{root.tag.partition('}')[0]}}}{name}" if "}" in root.tag else name

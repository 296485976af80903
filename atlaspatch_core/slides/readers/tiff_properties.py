"""What a TIFF says of itself: its tags, Aperio's list, and OME-XML, as properties."""

from collections.abc import Iterator
from xml.etree import ElementTree

import tifffile

from atlaspatch_core.slides.readers.lengths import um_of

RESOLUTION_UNITS = {2: "inch", 3: "centimeter"}
"""TIFF tag 296."""
TEXT_TAGS = {"Make": "tiff.make", "Model": "tiff.model"}


def properties_of(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> dict[str, str]:
    """Return the properties of the slide whose level 0 is ``page``, named as ``mpp`` and ``labels`` ask."""
    description = tiff.pages.first.description
    found = dict(_tags(page))
    if tiff.is_ome:
        return found | dict(_ome(description, page.imagewidth, page.imagelength))
    if description.startswith("Aperio"):
        return found | dict(_aperio(description))
    return found | {"tiff.ImageDescription": description}


def _tags(page: tifffile.TiffPage) -> Iterator[tuple[str, str]]:
    for name, key in TEXT_TAGS.items():
        if page.tags.valueof(name):
            yield key, str(page.tags.valueof(name)).strip()
    per_unit, unit = page.tags.valueof("XResolution"), page.tags.valueof("ResolutionUnit")
    if per_unit and per_unit[1] and unit in RESOLUTION_UNITS:
        yield "tiff.XResolution", repr(per_unit[0] / per_unit[1])
        yield "tiff.ResolutionUnit", RESOLUTION_UNITS[unit]


def _aperio(description: str) -> Iterator[tuple[str, str]]:
    yield "aperio.vendor", "aperio"
    for part in description.split("|")[1:]:
        key, separator, text = part.partition("=")
        if separator:
            yield f"aperio.{key.strip()}", text.strip()


def _ome(xml: str, width: int, height: int) -> Iterator[tuple[str, str]]:
    """Yield what OME-XML says of the image of this size; nothing where it is no XML."""
    try:
        root = ElementTree.fromstring(xml.encode())
    except ElementTree.ParseError:
        return
    for image in root.iter(_any("Image", root)):
        pixels = image.find(_any("Pixels", root))
        if pixels is None or (pixels.get("SizeX"), pixels.get("SizeY")) != (str(width), str(height)):
            continue
        for side in "XY":
            um = um_of(pixels.get(f"PhysicalSize{side}"), pixels.get(f"PhysicalSize{side}Unit", "µm"))
            if um is not None:
                yield f"ome.PhysicalSize{side}", repr(um)
        yield from _objective(root, image)
        return


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

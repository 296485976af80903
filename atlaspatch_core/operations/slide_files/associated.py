"""What OpenSlide says of a file that is no TIFF: levels, and pictures of the glass."""

import re
from pathlib import Path

from atlaspatch_core.operations.slide_files.values import FileContents, FilePart
from atlaspatch_core.slides.slide import SlideInfo

ASSOCIATED = re.compile(r"openslide\.associated\.(.+)\.width")


def listed_contents(path: Path, info: SlideInfo | None, series: int | None) -> FileContents:  # noqa: ARG001
    """Return the levels of the open slide and its associated images, as far as its properties name them."""
    if info is None:
        return FileContents(unknown="no reader opens it")
    levels = (
        FilePart("level", str(number), level.width, level.height, stated_tile(info, number), role="level", level=number)
        for number, level in enumerate(info.levels)
    )
    pictures = (FilePart("associated image", name, *size, role=name) for name, size in associated_sizes(info).items())
    return FileContents((*levels, *pictures))


def stated_tile(info: SlideInfo, number: int) -> tuple[int, int] | None:
    """Return width and height of a tile of a level, px, where the properties state them."""
    sides = [info.properties.get(f"openslide.level[{number}].tile-{side}", "") for side in ("width", "height")]
    return (int(sides[0]), int(sides[1])) if all(side.isdecimal() for side in sides) else None


def associated_sizes(info: SlideInfo) -> dict[str, tuple[int, int]]:
    """Return the associated images by name, each with width and height in px."""
    properties = info.properties
    names = [match[1] for key in properties if (match := ASSOCIATED.fullmatch(key))]
    sizes = {name: [properties.get(f"openslide.associated.{name}.{side}", "0") for side in ("width", "height")]
             for name in names}  # fmt: skip
    return {name: (int(width), int(height)) for name, (width, height) in sizes.items()}


def named_by_size(info: SlideInfo, size: tuple[int, int]) -> str:
    """Return the name of the associated image of this size, or an empty text."""
    return next((name for name, other in associated_sizes(info).items() if other == size), "")

"""Whether outlines lie where tissue can be: a file that counts from another corner than it was read by is found out."""

from collections.abc import Sequence

import shapely

from atlaspatch_core.slides.slide import Bounds, SlideInfo

MOST_NAMED = 3
"""Outlines beside the slide that a sentence names."""


def misplaced(polygons: Sequence[shapely.Polygon], info: SlideInfo) -> tuple[int, str]:
    """Return how many outlines have their centre beside the slide, or beside what was scanned of it, and a clause.

    The clause names them and the bounds; it is empty where there is none.
    """
    slide = info.bounds or Bounds(0, 0, info.width, info.height)
    centres = [shapely.get_coordinates(piece.centroid)[0].round().astype(int).tolist() for piece in polygons]
    beside = [
        f"outline {number} (centre {x}, {y})" for number, (x, y) in enumerate(centres, 1) if not _is_in(x, y, slide)
    ]
    if not beside:
        return 0, ""
    more = f" and {len(beside) - MOST_NAMED} more" if len(beside) > MOST_NAMED else ""
    where = f"the bounds of what was scanned, {slide}" if info.bounds else f"the slide of {_size(info)}"
    verb = "lies" if len(beside) == 1 else "lie"
    return len(beside), f"{', '.join(beside[:MOST_NAMED])}{more} {verb} beside {where}"


def _is_in(x: int, y: int, bounds: Bounds) -> bool:
    return bounds.x <= x <= bounds.x + bounds.width and bounds.y <= y <= bounds.y + bounds.height


def _size(info: SlideInfo) -> str:
    return f"{info.width} × {info.height} px"

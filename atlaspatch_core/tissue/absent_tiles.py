"""Tiles that a slide lacks inside its tissue: they are shown as background, and would be taken for it."""

from collections.abc import Sequence

import shapely
from shapely import Polygon

from atlaspatch_core.slides.readers.absent_tiles import AbsentTiles, find_absent_tiles
from atlaspatch_core.slides.slide import SlideInfo

RIM_UM = 32.0
"""Width of the rim around missing tiles that is looked at, µm: segmenters see some µm of white at its edge."""
RIM_SHARES = 0.25, 0.5
"""The same as a share of a tile: at least, and at most."""
SURROUNDED = 0.5
"""Share of the rim, or of the tile itself, that is tissue where the tile is inside it. Where scanners leave glass out,
the edge of tissue lies anywhere in the next tile, so that a quarter of the rim is tissue, or less."""


def absent_in_tissue(info: SlideInfo, polygons: Sequence[Polygon]) -> dict[str, float]:
    """Return how many tiles are missing inside tissue, and of the first its level and corner, level-0 px.

    Nothing where none is. ``polygons``: the tissue, level-0 px.
    """
    lacking = list(find_absent_tiles(info))
    tissue = shapely.union_all(list(polygons)) if lacking else shapely.Polygon()  # of many corners that takes minutes
    absent = [(one.level, box) for one in lacking for box in inside(one, tissue, info)]
    if not absent:
        return {}
    level, (left, top, _, _) = absent[0][0], shapely.bounds(absent[0][1])
    place = {"absent_level": level, "absent_x": round(left), "absent_y": round(top)}
    return {"absent_tiles": len(absent), **place}


def inside(absent: AbsentTiles, tissue: shapely.Geometry, info: SlideInfo) -> list[shapely.Geometry]:
    """Return those of the tiles that tissue covers, or that are of a block of missing tiles with tissue around it."""
    boxes = shapely.box(*absent.boxes.T)
    shapely.prepare(tissue)
    covered = shapely.area(shapely.intersection(boxes, tissue)) >= SURROUNDED * shapely.area(boxes)
    least, most = (share * absent.side for share in RIM_SHARES)
    rim = min(max(least, RIM_UM / info.mpp), most)
    within = shapely.box(0, 0, info.width, info.height)
    blocks = shapely.get_parts(shapely.union_all(boxes))
    rims = shapely.intersection(shapely.difference(shapely.buffer(blocks, rim, join_style="mitre"), blocks), within)
    around = shapely.area(shapely.intersection(rims, tissue)) >= SURROUNDED * shapely.area(rims)
    surrounded = shapely.union_all(blocks[around & (shapely.area(rims) > 0)])
    return list(boxes[covered | shapely.intersects(shapely.centroid(boxes), surrounded)])

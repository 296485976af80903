"""Outlines as GeoJSON that QuPath opens, and back from what people save."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.contours import explode
from atlaspatch_core.errors import UnreadableOutput

DECIMALS = 2
"""Coordinates are kept, and told apart, to this many decimals of a level-0 px."""
TISSUE_CLASS = {"name": "Tissue", "color": [220, 0, 0]}
"""The class under which QuPath shows the outlines."""


def write_geojson(path: Path, polygons: Sequence[shapely.Polygon], stem: str) -> None:
    """Write ``geojson_bytes``; whoever must not be seen half way writes the bytes another way."""
    path.write_bytes(geojson_bytes(polygons, stem))


def geojson_bytes(polygons: Sequence[shapely.Polygon], stem: str) -> bytes:
    """Return a FeatureCollection in level-0 px, one line per polygon; equal polygons give equal bytes.

    Each feature is a QuPath annotation of class Tissue with ``tissue_id`` from 0, as TRIDENT numbers them.
    """
    features = ",\n".join(_dump(_feature(piece, index)) for index, piece in enumerate(polygons))
    head = f'{{"type":"FeatureCollection","name":{_dump(stem)},"features":['
    return f"{head}\n{features}\n]}}\n".encode() if polygons else f"{head}]}}\n".encode()


def read_geojson(path: Path, stem: str | None = None) -> tuple[shapely.Polygon, ...]:
    """Return the polygons of a GeoJSON file in the order of the file: ours, TRIDENT's or what QuPath exports.

    The top may be a FeatureCollection, a list of features, a feature or a geometry. MultiPolygons and collections are
    taken apart, lines and points left out, invalid rings repaired. Left out too are QuPath's cells, detections and
    tiles, and annotations of a class that ends in ``*`` (QuPath's mark for classes to ignore). Other classes count.
    Raises UnreadableOutput for a file that is missing or no GeoJSON.
    """
    stem = stem or path.stem
    try:
        geometries = [shapely.from_geojson(json.dumps(shape)) for shape in _shapes(json.loads(path.read_bytes()))]
    except (OSError, ValueError, TypeError, AttributeError, KeyError, shapely.errors.GEOSException) as error:
        raise UnreadableOutput(
            f"{stem}: {path} is no GeoJSON that can be read ({error}); put back a good copy, or delete it to have "
            "the tissue found anew"
        ) from error
    flat = (shapely.force_2d(geometry) for geometry in geometries)
    repaired = (geometry if shapely.is_valid(geometry) else shapely.make_valid(geometry) for geometry in flat)
    return tuple(piece for geometry in repaired for piece in explode(geometry) if piece.area > 0)


def polygons_fingerprint(polygons: Iterable[shapely.Polygon]) -> str:
    """Return the identity of a mask, 16 hex digits.

    Independent of the order of polygons and holes, of where a ring starts and of its direction; a vertex that moves by
    0.01 px or more, or one that is added, changes it.
    """
    canonical = sorted([_canonical(piece.exterior), *sorted(map(_canonical, piece.interiors))] for piece in polygons)
    return hashlib.sha256(json.dumps(canonical).encode()).hexdigest()[:16]


def _feature(piece: shapely.Polygon, index: int) -> dict[str, Any]:
    """Return one polygon as a QuPath annotation."""
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [_points(ring) for ring in (piece.exterior, *piece.interiors)]},
        "properties": {
            "objectType": "annotation",
            "classification": TISSUE_CLASS,
            "tissue_id": index,
            "name": f"Tissue {index + 1}",
        },
    }


def _points(ring: shapely.LinearRing) -> list[list[float | int]]:
    """Return x, y pairs with ``DECIMALS`` decimals; whole numbers as integers."""
    rounded = np.round(shapely.get_coordinates(ring), DECIMALS).tolist()
    return [[int(value) if value == int(value) else value for value in point] for point in rounded]


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _shapes(top: Any) -> list[dict[str, Any]]:
    """Return the geometries of the features that are tissue."""
    if isinstance(top, list):
        return [shape for part in top for shape in _shapes(part)]
    if top["type"] == "FeatureCollection":
        return _shapes(top["features"])
    if top["type"] != "Feature":
        return [top]
    return [top["geometry"]] if top["geometry"] and _is_tissue(top.get("properties") or {}) else []


def _is_tissue(properties: dict[str, Any]) -> bool:
    """Tell whether a feature with these properties is tissue."""
    kind = properties.get("objectType", properties.get("object_type", "annotation"))
    label = properties.get("classification") or ""
    name = label.get("name", "") if isinstance(label, dict) else str(label)
    return str(kind).lower() not in {"cell", "detection", "tile"} and not str(name).endswith("*")


def _canonical(ring: shapely.LinearRing) -> list[list[int]]:
    """Return the points of a ring in hundredths of a px, from the least one on, in the direction of positive area."""
    points = np.floor(shapely.get_coordinates(ring)[:-1] * 10**DECIMALS + 0.5).astype(np.int64)
    if not shapely.is_ccw(ring):
        points = points[::-1]
    least = points[np.lexsort((points[:, 1], points[:, 0]))[0]]
    starts = np.flatnonzero((points == least).all(axis=1))
    return min(_from(points, int(start)) for start in starts)


def _from(points: NDArray[np.int64], start: int) -> list[list[int]]:
    return np.roll(points, -start, axis=0).tolist()

"""Outlines that people draw, read from GeoJSON: every part that is tissue, and a count of what is not."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely

from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.slides.slide import WHOLE_SLIDE, OutlineFrame
from atlaspatch_core.texts import parse_json
from atlaspatch_core.tissue.outline_origin import ORIGIN, OURS, QUPATH_MARKS, Origin
from atlaspatch_core.wording import format_count

DECIMALS = 2
"""Coordinates are kept, and told apart, to this many decimals of a level-0 px."""
IGNORED_CLASS = "Ignore*"
"""QuPath's class for what is to be left out, in any case. ``Region*``, its other class with a star, is no such."""
OBJECTS = ("cell", "detection", "tile", "root")
"""Kinds of QuPath objects that are no annotations."""
MANY_CORNERS = 20_000
"""GEOS holds each side against each whose bounds meet its own: 100,000 long ones take minutes. With more corners than
this nothing is united or cut that is to come out as it went in; with fewer it is, as it may gain corners by that, and
fingerprints are of these."""
COLLECTION = "FeatureCollection"
MALFORMED = (OSError, ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class TissueOutlines:
    """What a file of outlines holds."""

    polygons: tuple[shapely.Polygon, ...]
    """Tissue in the order of the file, level-0 px; valid; parts of one feature do not overlap."""
    left_out: str = ""
    """What is no tissue, counted: ``2 detections, 1 open line``; empty where everything counts, or is ignored."""
    ignored: int = 0
    """Outlines of the class for what is to be left out; they are counted among ``left_out`` where others are."""
    is_one_shape: bool = False
    """Whether one polygon was drawn: then no two parts overlap."""

    def united(self) -> list[shapely.Polygon]:
        """Return the tissue without overlap."""
        if self.is_one_shape and shapely.count_coordinates(list(self.polygons)) > MANY_CORNERS:
            return list(self.polygons)
        return polygons_in(shapely.union_all(list(self.polygons)))


class _Feature(NamedTuple):
    number: int
    """From 1, in the order of the file."""
    geometry: dict[str, Any] | None
    properties: dict[str, Any]
    id: str
    origin: Any
    """x, y as the file states them, or None."""

    @property
    def is_polygon(self) -> bool:
        return self.geometry is not None and self.geometry["type"] == "Polygon"


def read_outlines(
    path: Path, content: bytes | None = None, frame: OutlineFrame = WHOLE_SLIDE, origin: Origin = "auto"
) -> TissueOutlines:
    """Return the tissue in ``<stem>.geojson``: ours, TRIDENT's or what QuPath exports.

    ``content`` is what the file holds or will hold; None reads it. ``frame`` is that of the slide: what
    counts from the corner of its bounds, as ``origin`` and the file say, is moved by it, and px of the file become
    level-0 px.

    The top may be a FeatureCollection, a list of features, a feature or a geometry. MultiPolygons and collections are
    taken apart and their parts united; an outline that crosses itself encloses all that it goes round; a closed line is
    an outline. Annotations of QuPath's class ``Ignore*`` are cut out of the others. Left out are cells, detections and
    tiles, whichever version of QuPath marked them, open lines, points and outlines without area. Every other class
    counts.
    Raises UnreadableOutput for a file that is missing or no GeoJSON; it names the feature and the cause.
    """
    left_out: Counter[str] = Counter()
    try:
        top = parse_json(path.read_bytes() if content is None else content)
        pairs = [
            (feature, _moved(_parts(feature, left_out), feature, frame, origin)) for feature in _features(top, left_out)
        ]
    except (*MALFORMED, shapely.errors.GEOSException) as error:
        raise UnreadableOutput(
            f"{path.stem}: {path} is no GeoJSON that can be read ({error}); put back a good copy, or delete it to have "
            "the tissue found anew"
        ) from error
    ignored = [part for feature, parts in pairs if _is_ignored(feature) for part in parts]
    tissue = [part for feature, parts in pairs if not _is_ignored(feature) for part in parts]
    count = sum(bool(parts) for feature, parts in pairs if _is_ignored(feature))
    words = _in_words(left_out + Counter({f"{IGNORED_CLASS} outline": count})) if left_out else ""
    is_one_shape = not ignored and [feature.is_polygon for feature, parts in pairs if parts] == [True]
    return TissueOutlines(tuple(_without(tissue, ignored)), words, count, is_one_shape)


def polygons_in(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    """Return the polygons in a geometry of any type; lines and points fall away."""
    parts = shapely.get_parts(geometry).tolist()
    nested = [polygons_in(part) if hasattr(part, "geoms") else [part] for part in parts]
    return [part for group in nested for part in group if isinstance(part, shapely.Polygon) and not part.is_empty]


def within(pieces: Sequence[shapely.Polygon], width: int, height: int) -> list[shapely.Polygon]:
    """Return the parts of polygons without overlap that lie within a slide of ``width`` × ``height`` px."""
    slide = shapely.box(0, 0, width, height)
    if shapely.count_coordinates(list(pieces)) <= MANY_CORNERS:
        return polygons_in(shapely.intersection(shapely.MultiPolygon(pieces), slide))
    cut = [[piece] if _is_inside(piece, width, height) else polygons_in(piece & slide) for piece in pieces]
    return [part for parts in cut for part in parts]


def _is_inside(piece: shapely.Polygon, width: int, height: int) -> bool:
    left, top, right, bottom = piece.bounds
    return left > 0 and top > 0 and right < width and bottom < height


def _features(top: Any, left_out: Counter[str]) -> Iterator[_Feature]:
    """Yield the annotations of a file; other objects are counted."""
    ours = top.get("atlaspatch") if isinstance(top, dict) else None
    origin = ours.get("origin") if isinstance(ours, dict) else None
    for number, item in enumerate(_items(top), 1):
        if not isinstance(item, dict) or "type" not in item or (item["type"] == "Feature" and "geometry" not in item):
            lack = (
                "no geometry" if isinstance(item, dict) and "type" in item else "no type, as Feature or Polygon is one"
            )
            raise ValueError(f"feature {number}: it has {lack}")
        is_feature = item["type"] == "Feature"
        properties = (item.get("properties") or {}) if is_feature else {}
        geometry, stated = item["geometry"] if is_feature else item, properties.get(ORIGIN, origin)
        feature = _Feature(number, geometry, properties, str(item.get("id", "")), stated)
        if (kind := _kind(feature)) in OBJECTS:
            left_out[kind] += 1
        else:
            yield feature


def _items(top: Any) -> list[dict[str, Any]]:
    """Return the features, or bare geometries, of a file, however they are nested."""
    if isinstance(top, list):
        return [item for part in top for item in _items(part)]
    is_collection = isinstance(top, dict) and "features" in top and top.get("type", COLLECTION) == COLLECTION
    return [item for part in top["features"] for item in _items(part)] if is_collection else [top]


def _kind(feature: _Feature) -> str:
    """Return QuPath's kind of object; versions up to 0.2 state it as the id, ``PathDetectionObject``."""
    stated = feature.properties.get("objectType", feature.properties.get("object_type"))
    by_id = feature.id.removeprefix("Path").removesuffix("Object")
    return str(stated or (by_id if by_id != feature.id else "annotation")).lower()


def _is_ignored(feature: _Feature) -> bool:
    """Tell whether an annotation is of the class for what is to be left out, perhaps as the last of several."""
    label = feature.properties.get("classification") or ""
    names = label.get("names") or [label.get("name") or ""] if isinstance(label, dict) else label
    names = names if isinstance(names, list) and names else [names]
    return str(names[-1]).split(":")[-1].strip().casefold() == IGNORED_CLASS.casefold()


def _parts(feature: _Feature, left_out: Counter[str]) -> list[shapely.Polygon]:
    """Return the polygons of one annotation: valid, and without overlap. Raises ValueError, which names it."""
    try:
        repaired = [_repaired(shape) for shape in _shapes(feature.geometry, left_out)]
    except KeyError as error:
        raise ValueError(f"feature {feature.number}: its geometry has no {error.args[0]}") from error
    except (ValueError, TypeError, shapely.errors.GEOSException) as error:
        raise ValueError(f"feature {feature.number}: {error}") from error
    parts = [part for of_shape in repaired for part in of_shape]
    if without_area := sum(not of_shape for of_shape in repaired):
        left_out["empty outline"] += without_area
    if len(repaired) < 2 or len(parts) < 2 or shapely.is_valid(shapely.MultiPolygon(parts)):
        return parts
    return polygons_in(shapely.union_all(parts))


def _moved(
    parts: list[shapely.Polygon], feature: _Feature, frame: OutlineFrame, origin: Origin
) -> list[shapely.Polygon]:
    """Return parts in level-0 px, wherever they count from. Raises ValueError for an origin that is none."""
    offset = np.array(_origin(feature, frame, origin) if feature.origin is None else feature.origin, float)
    if offset.shape != (2,) or not np.isfinite(offset).all():
        raise ValueError(f"feature {feature.number}: its origin {feature.origin} is not x, y")
    if frame[2:] != WHOLE_SLIDE[2:]:
        px = np.array(frame[2:])
        parts = [shapely.transform(part, lambda points: np.round(points / px, DECIMALS)) for part in parts]
    return [shapely.transform(part, lambda points: points + offset) for part in parts] if offset.any() else parts


def _origin(feature: _Feature, frame: OutlineFrame, origin: Origin) -> tuple[int, int]:
    """Return from where a feature counts that does not say so."""
    by_id = feature.id.startswith("Path") and feature.id.endswith("Object")
    by_qupath = OURS not in feature.properties and (by_id or any(mark in feature.properties for mark in QUPATH_MARKS))
    return frame[:2] if origin == "bounds" or (origin == "auto" and by_qupath) else (0, 0)


def _shapes(geometry: dict[str, Any] | None, left_out: Counter[str]) -> Iterator[shapely.Polygon]:
    """Yield the polygons that a geometry is made of, as drawn; what encloses nothing is counted."""
    kind = geometry["type"] if geometry else "nothing"
    if geometry is None or kind in ("Point", "MultiPoint"):
        left_out["point" if geometry else "empty feature"] += 1
    elif kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _shapes(part, left_out)
    elif kind in ("Polygon", "MultiPolygon"):
        drawn = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
        yield from (_polygon(rings) if rings else shapely.Polygon() for rings in drawn)
    elif kind in ("LineString", "MultiLineString"):
        for line in [geometry["coordinates"]] if kind == "LineString" else geometry["coordinates"]:
            if len(line) > 3 and line[0][:2] == line[-1][:2]:
                yield _polygon([line])
            else:
                left_out["open line"] += 1
    else:
        raise ValueError(f"there is no geometry of type {kind}")


def _polygon(rings: Sequence[Sequence[Sequence[float]]]) -> shapely.Polygon:
    """Return a polygon of these rings. Raises ValueError for one that is open, or has no place."""
    flat = [np.array([point[:2] for point in ring], float) for ring in rings]
    for ring in flat:
        if not np.isfinite(ring).all():
            raise ValueError("a coordinate is no number")
        if len(ring) and (ring[0] != ring[-1]).any():
            raise ValueError("a ring is open: its first and last points differ")
        if len(ring) < 4:
            raise ValueError("a ring has fewer than three corners")
    return shapely.Polygon(flat[0], flat[1:])


def _repaired(shape: shapely.Polygon) -> list[shapely.Polygon]:
    """Return the parts of a polygon that have an area; where it crosses itself, all that it goes round."""
    whole = shape if shapely.is_valid(shape) else _made_valid(shape)
    return [part for part in polygons_in(whole) if part.area > 0]


def _made_valid(shape: shapely.Polygon) -> shapely.Geometry:
    """Return a polygon made valid; of one with many corners the exterior and the holes by themselves.

    GEOS takes minutes for thousands of holes that touch what is around them.
    """
    if not shape.interiors or shapely.count_coordinates(shape) <= MANY_CORNERS:
        return shapely.make_valid(shape, method="structure", keep_collapsed=False)
    solid, *holes = (_made_valid(shapely.Polygon(ring)) for ring in (shape.exterior, *shape.interiors))
    return shapely.difference(solid, shapely.union_all(holes))


def _without(tissue: list[shapely.Polygon], ignored: list[shapely.Polygon]) -> list[shapely.Polygon]:
    """Return tissue without what is to be left out of it; what that does not touch stays to the letter."""
    if not ignored:
        return tissue
    hole = shapely.union_all(ignored)
    cut = (polygons_in(shapely.difference(part, hole)) if shapely.intersects(part, hole) else [part] for part in tissue)
    return [part for parts in cut for part in parts if part.area > 0]


def _in_words(left_out: Counter[str]) -> str:
    return ", ".join(format_count(count, kind) for kind, count in sorted(left_out.items()))

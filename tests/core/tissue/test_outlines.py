"""What is enclosed by what a person drew: held against winding numbers, which know nothing of GeoJSON or shapely."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from rounds import examples

import atlaspatch_core.tissue.outlines
from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.tissue.contours import polygons_fingerprint
from atlaspatch_core.tissue.outlines import MANY_CORNERS, read_outlines, within

SIDE = 40
COLUMNS, ROWS = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
XS, YS = COLUMNS.ravel() + 0.37, ROWS.ravel() + 0.41
"""Places that are asked for."""

Ring = list[tuple[int, int]]
points = st.tuples(st.integers(0, SIDE), st.integers(0, SIDE))


def area_of(ring: Ring) -> float:
    x, y = np.array(ring, float).T
    return float(np.abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))


rings = st.lists(points, min_size=3, max_size=7, unique=True).filter(lambda ring: area_of(ring) > 0)
"""Any closed walk: convex, concave, or a lasso that crosses itself."""
boxes = (
    st.tuples(points, points)
    .filter(lambda ends: ends[0][0] != ends[1][0] and ends[0][1] != ends[1][1])
    .map(lambda ends: [ends[0], (ends[1][0], ends[0][1]), ends[1], (ends[0][0], ends[1][1])])
)


def inside(ring: Ring) -> np.ndarray:
    """Return which places a walk goes round, shape (SIDE²,): its winding number there is not 0."""
    winding = np.zeros(len(XS), int)
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        left = (x1 - x0) * (YS - y0) - (XS - x0) * (y1 - y0)
        winding += (y0 <= YS) & (y1 > YS) & (left > 0)
        winding -= (y0 > YS) & (y1 <= YS) & (left < 0)
    return winding != 0


def is_on_a_ring(place: int, drawn: list) -> bool:
    """Tell whether a place lies on a side, as far as numbers tell: neither answer is wrong there."""
    lines = [shapely.from_geojson(json.dumps(made["geometry"])) for made, _, _ in drawn]
    return any(
        shapely.distance(part, shapely.Point(XS[place], YS[place])) < 1e-6 for line in lines for part in sides(line)
    )


def sides(shape: shapely.Geometry) -> list[shapely.Geometry]:
    return [part.exterior if isinstance(part, shapely.Polygon) else part for part in shapely.get_parts(shape)]


def closed(ring: Ring) -> list[list[int]]:
    return [list(point) for point in [*ring, ring[0]]]


def geometry(kind: str, parts: list[Ring]) -> dict:
    if kind == "MultiPolygon":
        return {"type": kind, "coordinates": [[closed(ring)] for ring in parts]}
    if kind == "GeometryCollection":
        return {"type": kind, "geometries": [geometry("Polygon", [ring]) for ring in parts]}
    if kind == "LineString":
        return {"type": kind, "coordinates": closed(parts[0])}
    return {"type": "Polygon", "coordinates": [closed(parts[0])]}


@st.composite
def features(draw) -> tuple[dict, np.ndarray, str]:
    """Draw a feature, the places that it goes round, and what it is: tissue, ignored or no annotation."""
    kind = draw(st.sampled_from(["Polygon", "MultiPolygon", "GeometryCollection", "LineString"]))
    parts = draw(st.lists(st.one_of(boxes, rings), min_size=1, max_size=3))
    parts = parts[:1] if kind in ("Polygon", "LineString") else parts
    what = draw(st.sampled_from(["tissue", "tissue", "ignored", "object"]))
    made = {"type": "Feature", "geometry": geometry(kind, parts), "properties": {}}
    if what == "object":
        word = draw(st.sampled_from(["Detection", "Cell", "Tile"]))
        marks = (
            {"properties": {"objectType": word.lower()}},
            {"properties": {"object_type": word.lower()}},
            {"id": f"Path{word}Object"},
        )
        made |= draw(st.sampled_from(marks))
    else:
        names = ["Ignore*", "ignore*", "IGNORE*"] if what == "ignored" else ["Tumor", "Region*", "Other"]
        name = draw(st.sampled_from(names))
        made["properties"] = {
            "classification": draw(st.sampled_from([{"name": name}, name, [name], {"names": ["Tissue", name]}]))
        }
        made |= draw(st.sampled_from([{}, {"id": "PathAnnotationObject"}, {"id": "0f1e-uuid"}]))
    return made, np.any([inside(ring) for ring in parts], axis=0), what


@examples(300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.lists(features(), min_size=1, max_size=4))
def test_tissue_is_what_was_gone_round_less_what_is_ignored(drawn: list[tuple[dict, np.ndarray, str]]):
    content = json.dumps({"type": "FeatureCollection", "features": [made for made, _, _ in drawn]}).encode()
    found = read_outlines(Path("a.geojson"), content)
    tissue, ignored = (
        np.any([places for _, places, what in drawn if what == kind] or [np.zeros(len(XS), bool)], axis=0)
        for kind in ("tissue", "ignored")
    )
    whole = shapely.union_all(list(found.polygons))
    wrong = np.flatnonzero(shapely.contains_xy(whole, XS, YS) != (tissue & ~ignored))
    assert not [place for place in wrong if not is_on_a_ring(place, drawn)]
    assert all(piece.is_valid and piece.area > 0 for piece in found.polygons)
    objects, cut_out = (sum(what == kind for _, _, what in drawn) for kind in ("object", "ignored"))
    counted = sum(int(part.split()[0]) for part in found.left_out.split(", ") if part)
    assert (found.ignored, counted) == (cut_out, objects + cut_out if objects else 0)


def outlines(*items: dict):
    return read_outlines(Path("a.geojson"), json.dumps(list(items)).encode())


def drawn(kind: str, coordinates: object) -> dict:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": {}}


def test_what_encloses_nothing_is_counted():
    line, point = drawn("LineString", [[0, 0], [5, 5]]), drawn("Point", [1, 1])
    nothing = {"type": "Feature", "geometry": None, "properties": None}
    cells = [drawn("Point", [1, 1]) | {"properties": {"objectType": "cell"}}] * 2
    assert outlines(line, point, nothing, *cells) == outlines(nothing, *cells, point, line)
    assert outlines(line, point, nothing, *cells).left_out == "2 cells, 1 empty feature, 1 open line, 1 point"


def test_outlines_without_area_are_counted_in_the_same_line_as_ignored_ones():
    flat = drawn("Polygon", [[[0, 0], [9, 0], [0, 0], [0, 0]]])
    box = drawn("Polygon", [[[0, 0], [9, 0], [9, 9], [0, 0]]])
    ignored = box | {"properties": {"classification": {"name": "ignore*"}}}
    empty = drawn("MultiPolygon", [[]])
    assert outlines(flat, ignored, empty).left_out == "1 Ignore* outline, 2 empty outlines"
    assert (outlines(ignored).left_out, outlines(ignored).ignored) == ("", 1)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (drawn("Polygon", [[[0, 0], [9, 0], [9, 9]]]), "feature 2: a ring is open"),
        (drawn("Polygon", [[[0, 0], [9, 0], [9, 9], [0, 9]]]), "feature 2: a ring is open"),
        (drawn("Polygon", [[[0, 0], [9, 0], [0, 0]]]), "feature 2: a ring has fewer than three corners"),
        (drawn("Polygon", [[[0, 0], [9, 0], [9, None], [0, 0]]]), "feature 2: a coordinate is no number"),
        (drawn("Circle", [[0, 0], 9]), "feature 2: there is no geometry of type Circle"),
        ({"type": "Feature", "properties": {}}, "feature 2: it has no geometry"),
        ({"geometry": {}, "properties": {}}, "feature 2: it has no type"),
        ({"type": "Feature", "geometry": {"type": "Polygon"}}, "feature 2: its geometry has no coordinates"),
    ],
)
def test_a_refusal_names_the_feature_and_the_cause(item: dict, words: str):
    with pytest.raises(UnreadableOutput, match=words):
        outlines(drawn("Point", [1, 1]), item)


@pytest.mark.parametrize("nested", [lambda item: {"features": [item]}, lambda item: [{"features": [[item]]}]])
def test_features_are_found_however_they_are_gathered(nested):
    square = drawn("Polygon", [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]])
    assert outlines(nested(square)).polygons == outlines(square).polygons


def test_a_valid_outline_is_taken_to_the_letter():
    square = [[[0, 0], [9, 0], [9, 9], [5, 9], [0, 9], [0, 0]]]
    (piece,) = outlines(drawn("Polygon", square)).polygons
    assert shapely.get_coordinates(piece).tolist() == square[0]


def spikes(corners: int, seed: int, spread: float = 3.0) -> np.ndarray:
    """Return a closed star, shape (corners + 1, 2), whose sides cross some of their neighbours."""
    chance = np.random.default_rng(seed)
    angles = (np.arange(corners) + spread * chance.normal(size=corners)) * 2 * np.pi / corners
    ring = (500 + 300 * chance.random((corners, 1))) * np.stack([np.cos(angles), np.sin(angles)], 1) + 1000
    return np.vstack([ring, ring[:1]])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("width", [2000, 1100], ids=["inside", "over the edge"])
def test_tissue_of_many_corners_is_what_uniting_and_cutting_leave_of_it(seed: int, width: int, monkeypatch):
    drawn_spikes = outlines(drawn("Polygon", [spikes(60 + 10 * seed, seed).tolist()]))
    few = polygons_fingerprint(within(drawn_spikes.united(), width, 2000))
    monkeypatch.setattr(atlaspatch_core.tissue.outlines, "MANY_CORNERS", 0)
    assert polygons_fingerprint(within(drawn_spikes.united(), width, 2000)) == few


def test_outlines_of_many_corners_that_cross_themselves_are_read():
    many = outlines(drawn("Polygon", [spikes(MANY_CORNERS + 1, 1).tolist()]))
    pieces = np.array(within(many.united(), 2000, 2000))
    assert len(pieces) > 1000
    assert shapely.is_valid(pieces).all()
    assert np.pi * 500**2 < sum(piece.area for piece in pieces) < np.pi * 800**2
    near, far = ([1000, 1000] + radius * np.array([[1, 0], [0, 1], [-1, 0]]) for radius in (450, 810))
    assert [shapely.contains_xy(pieces[:, None], *places.T).any(axis=0).all() for places in (near, far)] == [1, 0]


def test_what_overlaps_counts_once_however_many_corners_it_has(monkeypatch):
    monkeypatch.setattr(atlaspatch_core.tissue.outlines, "MANY_CORNERS", 0)
    boxes = [drawn("Polygon", [[[x, 0], [x + 9, 0], [x + 9, 9], [x, 9], [x, 0]]]) for x in (1, 5)]
    together = drawn("MultiPolygon", [box["geometry"]["coordinates"] for box in boxes])
    assert [sum(piece.area for piece in outlines(*items).united()) for items in (boxes, [together])] == [117, 117]

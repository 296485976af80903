import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rounds import examples

from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.tissue.contours import (
    atlaspatch_contours,
    geojson_bytes,
    mask_to_polygons,
    oriented,
    polygons_fingerprint,
    read_geojson,
    write_geojson,
)

pytestmark = pytest.mark.quick


def info(width: int, height: int) -> SlideInfo:
    return SlideInfo("a", Path("a.svs"), "painted", (Level(width, height, 1.0),), 0.5, "stated", 20, "stated")


def painted(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Return a mask; boxes are x, y, width, height, and each inverts what lies there."""
    mask = np.zeros((height, width), bool)
    for x, y, w, h in boxes:
        mask[y : y + h, x : x + w] ^= True
    return mask


SQUARE = shapely.Polygon([(10, 10), (90, 10), (90, 90), (10, 90)], [[(40, 40), (60, 40), (60, 60), (40, 60)]])
SMALL = shapely.Polygon([(200, 5), (220, 5), (220, 25)])


def save(tmp_path: Path, top: object) -> Path:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(top))
    return path


def feature(geometry: shapely.Geometry, **properties: object) -> dict:
    return {"type": "Feature", "geometry": json.loads(shapely.to_geojson(geometry)), "properties": properties}


def test_rectangle_comes_back_exactly():
    polygons = mask_to_polygons(painted(60, 80, (10, 5, 40, 30)), 16.0, info(1280, 960), 8.0)
    assert len(polygons) == 1
    assert polygons[0].equals(shapely.box(160, 80, 800, 560))


def test_hole_comes_back_within_a_pixel_of_the_mask():
    polygons = mask_to_polygons(painted(60, 80, (10, 5, 40, 30), (20, 15, 6, 4)), 16.0, info(1280, 960), 8.0)
    hole = shapely.Polygon(polygons[0].interiors[0])
    assert hole.bounds == (320, 240, 416, 304)
    assert hole.area == pytest.approx(96 * 64, rel=0.05)


def test_outline_of_a_disc_keeps_its_area_and_stays_within_the_tolerance():
    y, x = np.mgrid[:400, :400] + 0.5
    polygons = mask_to_polygons(np.hypot(x - 200, y - 200) <= 150, 16.0, info(6400, 6400), 8.0)
    disc = shapely.Point(3200, 3200).buffer(2400, quad_segs=256)
    assert polygons[0].area == pytest.approx(disc.area, rel=0.005)
    assert shapely.hausdorff_distance(polygons[0].exterior, disc.exterior) < 16 + 8
    assert len(polygons[0].exterior.coords) < 300


def test_island_in_a_hole_is_a_piece_of_its_own():
    polygons = mask_to_polygons(
        painted(60, 60, (5, 5, 50, 50), (15, 15, 30, 30), (25, 25, 10, 10)), 1.0, info(60, 60), 0
    )
    assert [piece.area for piece in polygons] == pytest.approx([2500 - 900, 100], abs=2)


def test_pieces_that_touch_at_a_corner_and_single_pixels_are_valid():
    mask = painted(20, 20, (2, 2, 4, 4), (6, 6, 4, 4), (15, 3, 1, 1), (3, 15, 5, 1))
    polygons = mask_to_polygons(mask, 4.0, info(80, 80), 0)
    assert all(piece.is_valid for piece in polygons)
    assert sum(piece.area for piece in polygons) == pytest.approx(mask.sum() * 16, abs=16)


@examples(150)
@given(arrays(np.bool_, st.tuples(st.integers(2, 8), st.integers(2, 8))), st.integers(2, 4))
def test_outlines_go_round_what_is_painted_however_pieces_and_holes_touch(cells, px):
    """Holes that meet the glass outside, or each other, at a corner were filled."""
    mask = np.kron(cells, np.ones((px, px), bool))
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
    polygons = mask_to_polygons(mask, 1.0, info(*mask.shape[::-1]), 0)
    assert (shapely.contains_xy(shapely.union_all(list(polygons)), x, y) == mask).all()


def test_outline_ends_at_the_slides_edge():
    polygons = mask_to_polygons(painted(10, 10, (5, 5, 5, 5)), 16.0, info(150, 155), 0)
    assert polygons[0].bounds == (80, 80, 150, 155)


def test_empty_mask_has_no_polygons():
    assert mask_to_polygons(np.zeros((5, 5), bool), 16.0, info(80, 80), 4.0) == ()


def test_any_mask_becomes_valid_disjoint_polygons():
    noise = np.random.default_rng(3).random((80, 80)) > 0.5
    polygons = mask_to_polygons(noise, 8.0, info(640, 640), 2.0)
    assert all(piece.is_valid for piece in polygons)
    assert sum(piece.area for piece in polygons) == pytest.approx(shapely.union_all(polygons).area)


def test_atlaspatch_keeps_the_ten_largest_holes_and_drops_those_under_16_px():
    holes = [(5 + 12 * i, 5, 8, 8) for i in range(12)] + [(5, 25, 3, 3)]
    found = atlaspatch_contours(painted(40, 160, (0, 0, 160, 40), *holes), 1600, 400)
    assert len(found) == 1
    outer, kept = found[0]
    assert outer.dtype == np.int32
    assert (outer.min(axis=0).tolist(), outer.max(axis=0).tolist()) == ([0, 0], [1590, 390])
    assert len(kept) == 10


def test_atlaspatch_drops_contours_below_its_share_of_the_mask():
    mask = painted(100, 100, (0, 0, 31, 31), (60, 60, 11, 11))
    assert len(atlaspatch_contours(mask, 100, 100, 0.05)) == 1
    assert len(atlaspatch_contours(mask, 100, 100)) == 2


def test_equal_polygons_give_equal_bytes_that_read_back(tmp_path: Path):
    path = tmp_path / "slide ä.geojson"
    write_geojson(path, (SQUARE, SMALL), "slide ä")
    assert path.read_bytes() == geojson_bytes((SQUARE, SMALL), "slide ä")
    assert read_geojson(path) == (oriented(SQUARE), oriented(SMALL))
    assert read_geojson(path, geojson_bytes((), "slide ä")) == ()


@given(turned=st.lists(st.booleans(), min_size=2, max_size=2))
def test_rings_run_as_geojson_wants_them_whatever_way_they_were_drawn(turned):
    outer, hole = shapely.box(0, 0, 90, 90).exterior, shapely.box(30, 30, 60, 60).exterior
    shell, inner = (ring.reverse() if flip else ring for ring, flip in zip((outer, hole), turned, strict=True))
    piece = shapely.Polygon(shell, [inner])
    (feature,) = json.loads(geojson_bytes([piece], "a"))["features"]
    written = [shapely.LinearRing(ring) for ring in feature["geometry"]["coordinates"]]
    assert [ring.is_ccw for ring in written] == [True, False]
    assert polygons_fingerprint([piece]) == polygons_fingerprint([shapely.Polygon(outer, [hole])])


def test_file_is_what_qupath_opens():
    top = json.loads(geojson_bytes((SQUARE,), "a"))
    assert (top["type"], top["name"]) == ("FeatureCollection", "a")
    properties = top["features"][0]["properties"]
    assert properties["objectType"] == "annotation"
    assert properties["classification"]["name"] == "Tissue"
    assert properties["tissue_id"] == 0
    assert top["features"][0]["geometry"]["coordinates"][0][0] == [10, 10]


@pytest.mark.parametrize("wrap", [list, lambda features: {"type": "FeatureCollection", "features": features}])
def test_qupath_exports_are_read(tmp_path: Path, wrap):
    features = [
        feature(shapely.MultiPolygon([SQUARE, SMALL]), objectType="annotation", classification={"name": "Tumor"}),
        feature(shapely.GeometryCollection([shapely.Point(1, 1), SMALL]), classification="Stroma"),
        feature(shapely.LineString([(0, 0), (5, 5)]), objectType="annotation"),
        feature(SMALL, objectType="cell"),
        feature(shapely.box(300, 0, 320, 20), classification={"name": "Ignore*"}),
        {"type": "Feature", "geometry": None, "properties": None},
    ]
    assert read_geojson(save(tmp_path, wrap(features))) == (SQUARE, SMALL, SMALL)


def test_trident_file_is_read(tmp_path: Path):
    top = {
        "type": "FeatureCollection",
        "name": "a",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}},
        "features": [feature(SQUARE, tissue_id=0)],
    }
    assert read_geojson(save(tmp_path, top)) == (SQUARE,)


def test_bare_geometry_and_single_feature_are_read(tmp_path: Path):
    assert read_geojson(save(tmp_path, feature(SMALL))) == (SMALL,)
    assert read_geojson(save(tmp_path, json.loads(shapely.to_geojson(SMALL)))) == (SMALL,)


def test_ring_that_crosses_itself_is_repaired(tmp_path: Path):
    bow = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    polygons = read_geojson(save(tmp_path, feature(bow)))
    assert all(piece.is_valid for piece in polygons)
    assert sum(piece.area for piece in polygons) == 50


@pytest.mark.parametrize("content", ["", "{", "3", "null", '{"type":"FeatureCollection"}', '{"type":"Polygon"}', '"a"'])
def test_file_that_is_no_geojson_is_an_error_with_stem_and_cure(tmp_path: Path, content: str):
    path = tmp_path / "slide-7.geojson"
    path.write_text(content)
    with pytest.raises(UnreadableOutput, match=r"^slide-7: .*put back a good copy, or delete it"):
        read_geojson(path)


def test_fingerprint_knows_polygons_not_how_they_are_written():
    turned = shapely.Polygon(
        np.roll(shapely.get_coordinates(SQUARE.exterior)[:-1], 2, axis=0)[::-1],
        [np.roll(shapely.get_coordinates(SQUARE.interiors[0])[:-1], 1, axis=0)],
    )
    fingerprint = polygons_fingerprint((SQUARE, SMALL))
    assert polygons_fingerprint((SMALL, turned)) == fingerprint
    assert len(fingerprint) == 16
    assert int(fingerprint, 16) >= 0


def test_fingerprint_sees_the_smallest_move_and_a_missing_piece():
    moved = shapely.Polygon([(200, 5), (220.01, 5), (220, 25)])
    assert len({polygons_fingerprint(given) for given in ((SQUARE, SMALL), (SQUARE, moved), (SQUARE,), ())}) == 4

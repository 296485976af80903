"""Tissue painted is tissue found, however pale or grey beside other pieces; what is smooth is left out, and said."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from painting import paint_slide
from rounds import examples

from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.tissue.quality import QualityFinding, QualitySpec, failed, judge_quality
from atlaspatch_core.tissue.segmenters import Tissue, TissueSpec, segment_tissue

MPP = 8.0
CELL = 280
"""Side of the square that holds one piece, px."""
HUES = {
    "grey": (1.0, 1.0, 1.0),
    "haematoxylin": (1.25, 1.2, 0.6),
    "eosin": (0.4, 1.6, 1.0),
    "diaminobenzidine": (0.7, 1.0, 1.3),
}
"""Optical density of each stain by channel; the mean is 1."""


@dataclass(frozen=True)
class Piece:
    """One disc on the slide."""

    stain: str
    density: float
    """Mean optical density."""
    radius: int
    """px."""
    texture: float
    """Standard deviation of density over its mean; 0 is a film."""
    soft: bool = False
    """Whether it fades out, as a shadow does."""


MOST_DENSE = {"haematoxylin": 0.25}
"""A piece that is deeper blue throughout is blue ink."""
PIECES = st.builds(
    lambda stain, density, **shape: Piece(stain, min(density, MOST_DENSE.get(stain, 1.0)), **shape),
    stain=st.sampled_from(sorted(HUES)),
    density=st.floats(0.035, 0.45),
    radius=st.integers(60, 110),
    texture=st.floats(0.12, 0.4),
)
FAINT = st.builds(
    Piece,
    stain=st.sampled_from(sorted(HUES)),
    density=st.floats(0.022, 0.035),
    radius=st.integers(60, 110),
    texture=st.floats(0.3, 0.4),
)
FILMS = st.builds(
    Piece, st.just("grey"), st.floats(0.06, 0.4), st.integers(80, 110), texture=st.just(0.0), soft=st.booleans()
)


def paint(pieces: list[Piece], lamp: tuple[int, int, int], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return pixels of the pieces side by side on noisy glass, and where tissue is."""
    rng = np.random.default_rng(seed)
    density = np.zeros((CELL, CELL * len(pieces), 3))
    truth = np.zeros(density.shape[:2], bool)
    rows, columns = np.mgrid[: density.shape[0], : density.shape[1]]
    for index, piece in enumerate(pieces):
        away = np.hypot(rows - CELL / 2, columns - CELL * (index + 0.5))
        disc = away <= piece.radius
        amount = np.exp(-((away / piece.radius) ** 2) * 2) if piece.soft else disc * 1.0
        amount = amount * (1 + piece.texture * grain(rng, disc.shape))
        density += piece.density * amount[..., None] * np.array(HUES[piece.stain])
        truth |= disc & (piece.texture > 0)
    light = np.array(lamp) * 10**-density + rng.normal(0, 1.0, density.shape)
    return light.round().clip(0, 255).astype(np.uint8), truth


def grain(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the texture of tissue, of standard deviation 1: cells of 16 µm, glands of 160 µm."""
    layers = [cv2.GaussianBlur(rng.normal(size=shape), (0, 0), sigma) for sigma in (1.0, 10.0)]
    return 0.8 * layers[0] / layers[0].std() + 0.6 * layers[1] / layers[1].std()


def segment(pixels: NDArray[np.uint8], **changes: object) -> Tissue:
    with TemporaryDirectory() as folder:
        path = paint_slide(Path(folder) / "a.svs", pixels, mpp=MPP, levels=(1,))
        with open_slide(path) as slide:
            return segment_tissue(slide, replace(TissueSpec(), **changes))


def raster(tissue: Tissue, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.uint8)
    for piece in tissue.polygons:
        rings = [shapely.get_coordinates(ring).astype(np.int32) for ring in (piece.exterior, *piece.interiors)]
        cv2.fillPoly(mask, rings, 1)
    return mask.astype(bool)


def findings(tissue: Tissue) -> dict[str, QualityFinding]:
    return {finding.name: finding for finding in failed(judge_quality(tissue.numbers, QualitySpec()))}


@examples(25)
@given(
    st.lists(PIECES | FAINT | FILMS, min_size=1, max_size=3),
    st.sampled_from([(243, 241, 244), (228, 232, 236), (250, 246, 240)]),
    st.integers(0, 99),
)
def test_tissue_painted_is_tissue_found_and_films_are_none(pieces: list[Piece], lamp: tuple[int, int, int], seed: int):
    pixels, truth = paint(pieces, lamp, seed)
    tissue = segment(pixels)
    mask = raster(tissue, truth.shape)
    for index, piece in enumerate(pieces):
        cell = np.s_[:, index * CELL : (index + 1) * CELL]
        if not piece.texture:
            assert mask[cell].mean() < 0.01, f"{piece} is taken for tissue"
            continue
        both, either = (mask[cell] & truth[cell]).sum(), (mask[cell] | truth[cell]).sum()
        assert both / either > (0.95 if piece.density >= 0.05 else 0.6), (
            f"of {piece} {both / truth[cell].sum():.3f} is found"
        )


@examples(20)
@given(FAINT, PIECES)
def test_what_is_found_alone_is_found_beside_a_deep_piece(faint: Piece, deep: Piece):
    """Whole, but for the rims of those of its parts that are deep enough to be found before."""
    alone, beside = (share_found(pieces) for pieces in ([faint], [faint, deep]))
    assert beside > alone - 0.4


def share_found(pieces: list[Piece]) -> float:
    """Return how much of the first of the pieces is found."""
    pixels, truth = paint(pieces, (243, 241, 244), 7)
    first = np.s_[:, :CELL]
    return float(raster(segment(pixels), truth.shape)[first][truth[first]].mean())


@examples(5)
@given(FILMS, PIECES)
def test_a_film_is_named_with_its_place_and_density(film: Piece, piece: Piece):
    tissue = segment(paint([piece, film], (243, 241, 244), 1)[0])
    finding = findings(tissue)["smooth_region"]
    x, y, density = (tissue.numbers[f"smooth_{name}"] for name in ("x", "y", "density"))
    assert np.hypot(x - 1.5 * CELL, y - CELL / 2) < 20
    assert film.density / 10 < density < film.density * 1.1
    assert film.soft or density == pytest.approx(film.density, rel=0.15)
    assert f"x {x:,.0f}, y {y:,.0f}" in finding.text


def test_pale_tissue_on_a_film_is_told_from_it():
    film = Piece("grey", 0.05, 130, 0.0)
    pixels, _ = paint([film], (243, 241, 244), 1)
    painted, truth = paint([Piece("grey", 0.08, 60, 0.3)], (243, 241, 244), 2)
    pixels[truth] = (pixels[truth] * (painted[truth] / np.array((243, 241, 244)))).astype(np.uint8)
    mask = raster(segment(pixels), truth.shape)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_what_touches_ink_is_named():
    pixels, _ = paint([Piece("grey", 0.06, 110, 0.3)], (243, 241, 244), 1)
    cv2.line(pixels, (60, 140), (220, 140), (40, 70, 190), 24)
    tissue = segment(pixels)
    assert "touches ink" in findings(tissue)["inked_region"].text


def test_a_region_of_interest_has_tissue_however_small():
    pixels, _ = paint([Piece("eosin", 0.3, 110, 0.3)], (243, 241, 244), 1)
    tissue = segment(pixels[130:150, 130:150])  # 160 µm, where the least piece is 20,000 µm²
    assert tissue.numbers["tissue_share"] > 0.9


def test_pieces_too_small_are_named_where_they_are_all():
    pixels, truth = paint([Piece("eosin", 0.3, 60, 0.3)], (243, 241, 244), 1)
    tissue = segment(pixels, segmenter="otsu_tiled", min_tissue_um2=5_000_000)
    finding = findings(tissue)["small_pieces_only"]
    assert finding.value == pytest.approx(truth.sum() * MPP**2, rel=0.1)
    assert "5,000,000 µm²" in finding.text


def test_pictures_of_fluorescence_stay_without_tissue():
    rng = np.random.default_rng(1)
    pixels = np.zeros((400, 400, 3), np.uint8) + 8
    pixels[100:300, 100:300] = np.clip(90 + 40 * grain(rng, (200, 200)), 0, 255).astype(np.uint8)[..., None]
    assert findings(segment(pixels)).keys() >= {"no_tissue", "dark_background"}


FAT_SIDE = 420
FAT_RADIUS = 170


def paint_fat(contrast: float, cell: int, seed: int) -> NDArray[np.uint8]:
    """Return cells with thin walls in a disc that on the whole is darker than glass by ``contrast``."""
    chance = np.random.default_rng(seed)
    middles = np.zeros((FAT_SIDE, FAT_SIDE), np.uint8)
    middles[tuple(chance.integers(0, FAT_SIDE, (2, (FAT_SIDE // cell) ** 2)))] = 1
    _, labels = cv2.distanceTransformWithLabels(1 - middles, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    walls = cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    disc = np.hypot(*(np.mgrid[:FAT_SIDE, :FAT_SIDE] - FAT_SIDE / 2)) <= FAT_RADIUS
    density = walls * disc * (contrast * np.log10(np.e) / walls[disc].mean())
    light = np.array((243, 241, 244)) * 10 ** -density[..., None] + chance.normal(0, 1.0, (FAT_SIDE, FAT_SIDE, 3))
    return light.round().clip(0, 255).astype(np.uint8)


@examples(10)
@given(st.floats(0.018, 0.024), st.integers(9, 14), st.integers(0, 99))
def test_fat_that_is_not_found_is_named(contrast: float, cell: int, seed: int):
    """Found or named: of the disc no more than a third is neither."""
    tissue = segment(paint_fat(contrast, cell, seed))
    disc = np.pi * FAT_RADIUS**2 / FAT_SIDE**2
    found, left_out = tissue.numbers["tissue_share"], tissue.numbers["faint_share"]
    assert found + left_out > disc * 2 / 3, (found / disc, left_out / disc)
    if left_out > 0.01:
        text, (x, y) = findings(tissue)["faint_region"].text, (tissue.numbers[f"faint_{axis}"] for axis in "xy")
        assert np.hypot(x - FAT_SIDE / 2, y - FAT_SIDE / 2) < FAT_RADIUS
        assert "too faint" in text


@examples(10)
@given(st.floats(0, 0.03), st.floats(0.5, 2.5), st.integers(0, 99), st.integers(1, 3))
def test_uneven_light_on_glass_is_no_faint_region(unevenness: float, noise: float, seed: int, waves: int):
    pixels, _ = paint([Piece("eosin", 0.3, 60, 0.3)], (243, 241, 244), seed)
    _, columns = np.mgrid[:CELL, :CELL]
    lamp = 1 - unevenness * (1 + np.cos(columns / CELL * waves * np.pi)) / 2
    grainy = pixels * lamp[..., None] + np.random.default_rng(seed).normal(0, noise, pixels.shape)
    assert "faint_region" not in findings(segment(grainy.round().clip(0, 255).astype(np.uint8)))


def test_near_black_tissue_is_named_and_a_frame_is_not():
    pixels, _ = paint([Piece("eosin", 0.3, 60, 0.3)] * 2, (243, 241, 244), 1)
    cv2.circle(pixels, (CELL, CELL // 2), 50, (30, 26, 28), -1)
    tissue = segment(pixels)
    assert "near black and was left out as ink" in findings(tissue)["black_region"].text
    assert np.hypot(tissue.numbers["black_x"] - CELL, tissue.numbers["black_y"] - CELL / 2) < 5
    framed, _ = paint([Piece("eosin", 0.3, 60, 0.3)] * 2, (243, 241, 244), 1)
    framed[:, :40] = 0
    assert "black_region" not in findings(segment(framed))


@pytest.mark.parametrize(("sides", "is_told"), [((15, 15, 15), True), ((5, 5), False), ((9,), False)])
def test_small_pieces_beside_a_large_one_are_told_where_they_matter(sides: tuple[int, ...], is_told: bool):
    """20,000 µm² are 312 px."""
    pixels, _ = paint([Piece("eosin", 0.3, 80, 0.3), Piece("grey", 0.0, 10, 0.0)], (243, 241, 244), 1)
    for number, side in enumerate(sides):
        pixels[40 + 60 * number : 40 + 60 * number + side, 400 : 400 + side] = (200, 90, 150)
    told = findings(segment(pixels)).get("dropped_pieces")
    assert bool(told) == is_told
    if told:
        assert told.value == len(sides)
        assert told.text.startswith("3 smaller pieces of tissue, ")
        assert "the least area is 20,000 µm² (--min-tissue-area, min_tissue_um2): look at x 40" in told.text

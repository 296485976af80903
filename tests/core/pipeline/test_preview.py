from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from painting import paint_slide, stain, white

from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.pipeline.preview import (
    draw_contours,
    draw_grid,
    draw_mask,
    encode_jpeg,
    encode_png,
    encode_small_jpeg,
    mask_picture,
    shrunk,
    thumbnail,
)
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Level, SlideInfo

INFO = SlideInfo("a", Path("a.svs"), "painted", (Level(2000, 1000, 1.0),), 0.5, "stated", 20, "stated")
PIECE = shapely.Polygon(
    [(200, 200), (1000, 200), (1000, 800), (200, 800)], [[(400, 400), (600, 400), (600, 600), (400, 600)]]
)


def grid(*coords: tuple[int, int], side: int = 200) -> PatchGrid:
    return PatchGrid(
        np.array(coords, np.int32).reshape(-1, 2),
        np.ones(len(coords), np.float32),
        Sampling(256, 0, side, side, side, 0.5),
    )


@pytest.mark.parametrize("levels", [(1,), (1, 4)])
def test_thumbnail_covers_the_slide_at_the_asked_size(tmp_path: Path, levels: tuple[float, ...]):
    path = paint_slide(tmp_path / "a.svs", stain(white(2048, 1536), 1024, 768, 1024, 768), levels=levels)
    with open_slide(path) as slide:
        picture = thumbnail(slide, 256)
    assert picture.shape == (192, 256, 3)
    assert picture[97:, 129:].reshape(-1, 3).tolist() == [[200, 80, 150]] * (95 * 127)
    assert (picture[:95] == 255).all()


def test_thumbnail_of_a_small_slide_is_the_slide(tmp_path: Path):
    pixels = stain(white(300, 257), 10, 20, 30, 40)
    with open_slide(paint_slide(tmp_path / "a.svs", pixels, levels=(1,))) as slide:
        assert (thumbnail(slide) == pixels).all()


def test_tissue_is_outlined_red_and_a_hole_blue():
    drawn = draw_contours(white(200, 100), (PIECE,), INFO)
    assert drawn[20, 50].tolist() == [255, 0, 0]
    assert drawn[50, 40].tolist() == [0, 0, 255]
    assert drawn[50, 30].tolist() == [255, 255, 255]


def test_outlines_on_a_dark_slide_have_a_white_rim():
    drawn = draw_contours(np.zeros((100, 200, 3), np.uint8), (PIECE,), INFO)
    assert drawn[20, 50].tolist() == [255, 0, 0]
    assert (drawn[:, 50] == 255).all(axis=1).any()


def test_mask_picture_is_white_in_tissue_and_black_in_holes():
    mask = mask_picture((100, 200), (PIECE,), INFO)
    assert (mask[50, 30], mask[50, 50], mask[5, 5]) == (255, 0, 0)


def test_mask_is_a_green_veil_of_80_in_255():
    drawn = draw_mask(white(200, 100), (PIECE,), INFO)
    assert drawn[50, 30].tolist() == [175, 255, 175]
    assert drawn[50, 50].tolist() == [255, 255, 255]


def test_each_patch_is_a_cell_in_the_colour_of_its_share_with_a_bare_edge():
    drawn = draw_grid(white(200, 100), grid((200, 200), (600, 400)), INFO)
    yellow = np.round(0.45 * 255 + 0.55 * np.array([253, 231, 37])).tolist()
    assert [drawn[20, x].tolist() for x in (19, 20, 38, 39)] == [[255] * 3, yellow, yellow, [255] * 3]
    assert drawn[40, 60].tolist() == yellow


def test_on_a_dark_slide_cells_have_a_light_edge():
    drawn = draw_grid(np.zeros((100, 200, 3), np.uint8), grid((200, 200), (400, 200)), INFO)
    assert [drawn[30, x].tolist() for x in (19, 39, 59, 60)] == [[0] * 3, [140] * 3, [140] * 3, [0] * 3]
    assert drawn[30, 30].tolist() == np.round(0.55 * np.array([253, 231, 37])).tolist()


def test_patches_under_one_px_are_one_px():
    drawn = draw_grid(white(200, 100), grid((200, 200), (220, 200), side=5), INFO)
    assert (drawn < 255).any(axis=2).sum() == 2


def test_small_jpeg_never_exceeds_its_bytes():
    noise = np.random.default_rng(1).integers(0, 255, (800, 1024, 3)).astype(np.uint8)
    assert len(encode_small_jpeg(noise)) <= 8000
    assert len(encode_small_jpeg(noise, 3000)) <= 3000


def test_small_jpeg_is_as_large_as_fits_with_lines_drawn_at_that_size():
    data = encode_small_jpeg(white(2000, 1000), draw=lambda picture: draw_contours(picture, (PIECE,), INFO))
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (160, 320, 3)
    assert decoded[32, 80, 2] > 150
    assert decoded[32, 80, 1] < 120


def test_png_and_jpeg_keep_colours_in_order():
    red = np.full((16, 16, 3), (250, 10, 10), np.uint8)
    for data in (encode_png(red), encode_jpeg(red)):
        blue, _, first = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[8, 8]
        assert first > 240 > 20 > blue


def test_shrinking_never_enlarges():
    assert shrunk(white(100, 50), 320).shape == (50, 100, 3)
    assert shrunk(white(640, 320), 320).shape == (160, 320, 3)

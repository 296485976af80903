import numpy as np
import pytest
from numpy.typing import NDArray

from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.tissue.segmenters.scaled import read_square, scale_to
from atlaspatch_core.tissue.segmenters.tiled import MOST_PIXELS, Tiling, predict, reduction_for, weights

Pixels = NDArray[np.uint8]


def noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def reader(picture: Pixels, side: int):
    """Return what reads squares of a picture, white outside it."""
    padded = np.pad(picture, ((0, side), (0, side), (0, 0)), constant_values=255)
    return lambda x, y: padded[y : y + side, x : x + side]


def redness(tiles: list[Pixels]) -> NDArray[np.float32]:
    """A network that looks at each pixel alone."""
    return np.stack([tile[..., 0] for tile in tiles]).astype(np.float32) / np.float32(255)


def edge_blind(tiles: list[Pixels]) -> NDArray[np.float32]:
    """A network that is right only 4 px and more from the border of a tile."""
    found = np.zeros((len(tiles), 64, 64), np.float32)
    found[:, 4:-4, 4:-4] = redness(tiles)[:, 4:-4, 4:-4]
    return found


@pytest.mark.parametrize("length", [1, 63, 64, 65, 100, 127, 128, 129, 1000, 4097])
@pytest.mark.parametrize("reduction", [1, 4, 16])
def test_weights_of_tiles_sum_to_exactly_one_everywhere(length, reduction):
    tiling = Tiling(length, length, 64, 16, reduction)
    total = np.zeros(length + 128, np.float32)
    for start, weight in zip(tiling.columns, weights(tiling.columns, tiling), strict=True):
        assert (weight >= 0).all()
        total[start : start + 64] += weight
    assert (total[:length] == 1).all()


def test_tiles_lie_evenly_from_end_to_end_with_the_overlap_asked_for():
    """Tiles lie evenly from the first to the last pixel with the overlap asked for."""
    assert Tiling(1000, 64, 512, 128).columns.tolist() == [0, 244, 488]
    assert Tiling(512, 64, 512, 128).columns.tolist() == [0]
    assert Tiling(513, 64, 512, 128).columns.tolist() == [0, 1]


@pytest.mark.parametrize("reduction", [1, 2, 8])
def test_a_network_that_always_answers_the_same_leaves_no_seam(reduction):
    tiling = Tiling(301, 187, 64, 16, reduction)
    constant = lambda tiles: np.full((len(tiles), 64, 64), 0.3, np.float32)  # noqa: E731
    found = predict(tiling, reader(noise(301, 187), 64), constant, batch_size=3)
    assert found.shape == (-(-187 // reduction), -(-301 // reduction))
    assert np.abs(found - np.float32(0.3)).max() < 1e-7


def test_a_constant_picture_gives_the_same_answer_in_every_tile():
    grey = np.full((264, 364, 3), 90, np.uint8)
    found = predict(Tiling(300, 200, 64, 16), reader(grey, 64), redness)
    assert np.ptp(found) < 1e-6


def test_a_picture_of_one_tile_is_the_untiled_prediction():
    picture = noise(50, 40)
    found = predict(Tiling(50, 40, 64, 16), reader(picture, 64), edge_blind)
    assert np.array_equal(found, edge_blind([reader(picture, 64)(0, 0)])[0][:40, :50])


def test_a_network_that_looks_at_pixels_alone_gives_the_same_map_in_tiles():
    picture = noise(301, 187)
    found = predict(Tiling(301, 187, 64, 16), reader(picture, 64), redness)
    assert found == pytest.approx(redness([picture])[0], abs=1e-6)


def test_the_middle_of_a_tile_outweighs_the_border_of_its_neighbour():
    picture = noise(300, 200)
    found = predict(Tiling(300, 200, 64, 16), reader(picture, 64), edge_blind)
    inner = (slice(4, -4), slice(4, -4))
    assert np.abs(found[inner] - redness([picture])[0][inner]).max() < 0.16


def test_the_batch_size_does_not_change_the_map():
    picture = noise(301, 187)
    one, five = (predict(Tiling(301, 187, 64, 16), reader(picture, 64), redness, batch_size=n) for n in (1, 5))
    assert np.array_equal(one, five)


def test_a_reduced_map_holds_the_means_of_squares():
    picture = noise(256, 128)
    found = predict(Tiling(256, 128, 64, 16, 8), reader(picture, 64), redness)
    squares = redness([picture])[0].reshape(16, 8, 32, 8).mean(axis=(1, 3))
    assert found == pytest.approx(squares, abs=1e-6)


def test_tiles_that_are_not_wanted_are_not_read_and_count_as_zero():
    read = []

    def reading(x: int, y: int) -> Pixels:
        read.append((x, y))
        return np.full((64, 64, 3), 255, np.uint8)

    found = predict(Tiling(112, 64, 64, 16), reading, redness, is_included=lambda x, _: x == 0)
    assert read == [(0, 0)]
    assert (found[:, :48] == 1).all()
    assert (found[:, 64:] == 0).all()
    assert (np.diff(found[0]) <= 0).all()


def test_a_map_of_any_slide_fits_in_memory():
    assert reduction_for(4000, 3000) == 1
    for width, height in ((25_000, 20_000), (100_000, 80_000), (1_000_000, 1_000_000)):
        reduction = reduction_for(width, height)
        assert -(-width // reduction) * -(-height // reduction) <= MOST_PIXELS


def test_tiles_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="tiles of 64 px, overlap 40, do not fit"):
        Tiling(100, 100, 64, 40)


def test_a_square_has_the_scale_asked_for_whatever_the_levels(bundled_slide):
    with open_slide(bundled_slide) as slide:
        scale = scale_to(slide.info, 2.0)
        square = read_square(slide, scale, 0, 0, 200)
        larger = read_square(slide, scale_to(slide.info, 1.0), 0, 0, 400)
    assert (scale.width, scale.height) == (np.ceil(2220 / scale.downsample), np.ceil(2967 / scale.downsample))
    assert square.shape == (200, 200, 3)
    assert np.abs(square - larger.reshape(200, 2, 200, 2, 3).mean(axis=(1, 3))).mean() < 1.5


def test_a_square_of_many_blocks_equals_one_of_few(bundled_slide, monkeypatch):
    with open_slide(bundled_slide) as slide:
        scale = scale_to(slide.info, 4 * slide.info.mpp)
        whole = read_square(slide, scale, 10, 20, 256)
        monkeypatch.setattr("atlaspatch_core.tissue.segmenters.scaled.BLOCK", 100)
        assert np.array_equal(read_square(slide, scale, 10, 20, 256), whole)


def test_outside_the_slide_a_square_is_white(bundled_slide):
    with open_slide(bundled_slide) as slide:
        scale = scale_to(slide.info, 10.0)
        square = read_square(slide, scale, 0, 0, 512)
    assert (square[scale.height :] == 255).all()
    assert (square[:, scale.width :] == 255).all()
    assert square[: scale.height - 1, : scale.width - 1].mean() < 250

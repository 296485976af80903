"""TIFFs that OpenSlide refuses: compressions, OME-TIFF, strips; and what cannot be shown rightly."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from tile_comparison import assert_same_as_reader, grid_of

from atlaspatch_core.errors import ImplausibleScale, UnknownScale, UnreadableSlide
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Level, Region

WIDTH, HEIGHT = 701, 463


def cloudy(width: int = WIDTH, height: int = HEIGHT, seed: int = 5) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def write(path: Path, pixels: np.ndarray | None = None, downsamples: tuple[int, ...] = (1, 3), **how: Any) -> Path:
    """A pyramid of every n-th pixel, with half a µm a pixel."""
    pixels = cloudy() if pixels is None else pixels
    how = {"photometric": "rgb", "metadata": None, "software": False, "tile": (64, 64)} | how
    with tifffile.TiffWriter(path) as writer:
        for downsample in downsamples:
            level = np.ascontiguousarray(pixels[::downsample, ::downsample])
            writer.write(
                level, subfiletype=int(downsample > 1), resolution=(20_000, 20_000), resolutionunit="CENTIMETER", **how
            )
    return path


def write_ome(path: Path, downsamples: tuple[int, ...] = (1, 2), pixels: np.ndarray | None = None, **metadata) -> Path:
    """OME-TIFF with its reduced levels in SubIFDs."""
    pixels = cloudy() if pixels is None else pixels
    stated = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 250.0} | {
        "PhysicalSizeYUnit": "nm"
    }
    how = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(pixels, subifds=len(downsamples) - 1, metadata=stated | metadata, **how)
        for downsample in downsamples[1:]:
            writer.write(np.ascontiguousarray(pixels[::downsample, ::downsample]), subfiletype=1, **how)
    return path


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UnreadableSlide) as caught, open_slide(path, **options) as slide:
        slide.read_region(Region(0, 0, 0, slide.info.width, slide.info.height))
    return str(caught.value)


def whole(path: Path, level: int = 0, **options: Any) -> np.ndarray:
    with open_slide(path, **options) as slide:
        size = slide.info.levels[level]
        return slide.read_region(Region(0, 0, level, size.width, size.height))


@pytest.mark.parametrize("compression", ["webp", "jpeg2000", "jpegxl", "lzma"])
def test_compressions_that_openslide_refuses_are_read_exactly(tmp_path, compression):
    arguments = {"lossless": True} if compression in ("webp", "jpegxl") else {}
    path = write(tmp_path / "a.tiff", compression=compression, compressionargs=arguments)
    with open_slide(path) as slide:
        assert slide.info.reader == "tiff"
        assert (slide.info.mpp, slide.info.mpp_source) == (0.5, "tiff.XResolution")
        region = slide.read_region(Region(100, 50, 0, 300, 200))
    assert np.array_equal(region, cloudy()[50:250, 100:400])


def test_levels_of_a_tiff_have_the_downsamples_of_their_sizes(tmp_path):
    path = write(tmp_path / "a.tiff", compression="lzma", downsamples=(1, 3, 7))
    with open_slide(path) as slide:
        assert slide.info.levels == (
            Level(701, 463, 1.0),
            Level(234, 155, (701 / 234 + 463 / 155) / 2),
            Level(101, 67, (701 / 101 + 463 / 67) / 2),
        )
        assert np.array_equal(slide.read_region(Region(0, 0, 1, 234, 155)), cloudy()[::3, ::3])


def test_outside_a_tiff_is_white_on_all_four_sides(tmp_path):
    path = write(tmp_path / "a.tiff", compression="lzma")
    with open_slide(path) as slide:
        region = slide.read_region(Region(-20, -10, 0, WIDTH + 50, HEIGHT + 40))
        missed = slide.read_region(Region(5_000, 0, 1, 8, 9))
    expected = np.full((HEIGHT + 40, WIDTH + 50, 3), 255, np.uint8)
    expected[10 : 10 + HEIGHT, 20 : 20 + WIDTH] = cloudy()
    assert np.array_equal(region, expected)
    assert (missed == 255).all()


def test_tile_that_is_not_stored_is_white(tmp_path):
    tiles: list[Any] = [np.full((64, 64, 3), 77, np.uint8), None, None, np.full((64, 64, 3), 99, np.uint8)]
    with tifffile.TiffWriter(tmp_path / "a.tiff") as writer:
        writer.write(
            iter(tiles), shape=(128, 128, 3), dtype="uint8", tile=(64, 64), photometric="rgb", compression="lzma",
            metadata=None,
        )  # fmt: skip
    pixels = whole(tmp_path / "a.tiff", mpp=0.5)
    assert (pixels[:64, :64] == 77).all()
    assert (pixels[64:, 64:] == 99).all()
    assert (pixels[:64, 64:] == 255).all()


@pytest.mark.parametrize(("read", "patch", "step", "level"), [(48, 48, 40, 0), (96, 48, 64, 0), (64, 64, 64, 1)])
@pytest.mark.parametrize("kind", ["compressed", "ome", "grey"])
def test_tiles_decoded_once_are_what_the_tiff_reader_reads(tmp_path, kind, read, patch, step, level):
    if kind == "ome":
        path = write_ome(tmp_path / "a.ome.tiff")
    elif kind == "grey":
        path = write(tmp_path / "a.tiff", cloudy()[..., 0], (1, 2), photometric="minisblack", compression="lzma")
    else:
        path = write(tmp_path / "a.tiff", downsamples=(1, 2), compression="lzma")
    with open_slide(path) as slide:
        assert slide.info.reader == "tiff"
        grid = grid_of(slide, patch=patch, read=read, step=step, level=level)
        assert assert_same_as_reader(slide, grid) == "tiles"


def test_many_threads_read_a_tiff_at_once(tmp_path):
    path = write(tmp_path / "a.tiff", compression="lzma")
    corners = [(x, y) for y in range(0, HEIGHT - 50, 37) for x in range(0, WIDTH - 50, 41)]
    with open_slide(path) as slide, ThreadPoolExecutor(6) as pool:
        found = list(pool.map(slide.read_region, [Region(x, y, 0, 50, 50) for x, y in corners]))
    assert all(np.array_equal(a, cloudy()[y : y + 50, x : x + 50]) for a, (x, y) in zip(found, corners, strict=True))


def test_ome_tiff_tells_levels_scale_and_magnification(tmp_path):
    path = write_ome(tmp_path / "a.ome.tiff")
    with open_slide(path) as slide:
        info = slide.info
        assert (info.stem, info.reader, info.mpp, info.mpp_source) == ("a", "tiff", 0.25, "ome.PhysicalSizeX")
        assert [(level.width, level.height) for level in info.levels] == [(701, 463), (351, 232)]
        assert np.array_equal(slide.read_region(Region(0, 0, 1, 351, 232)), cloudy()[::2, ::2])
    assert np.array_equal(whole(path), cloudy())


def test_ome_tiff_without_a_physical_size_needs_the_users(tmp_path):
    path = write_ome(tmp_path / "a.ome.tiff", PhysicalSizeX=None, PhysicalSizeY=None)
    with pytest.raises(UnknownScale, match=r"^a: "):
        open_slide(path)
    assert np.array_equal(whole(path, mpp=0.5), cloudy())


def test_ome_tiff_with_pixels_in_metres_is_refused_for_its_scale(tmp_path):
    path = write_ome(tmp_path / "a.ome.tiff", PhysicalSizeXUnit="m", PhysicalSizeYUnit="m")
    with pytest.raises(ImplausibleScale, match=r"ome\.PhysicalSizeX"):
        open_slide(path)


def test_of_focal_planes_the_middle_one_is_shown(tmp_path):
    planes = np.stack([cloudy(seed=seed) for seed in (1, 2, 3)])
    path = write_ome(tmp_path / "a.ome.tiff", (1,), planes, axes="ZYXS")
    assert np.array_equal(whole(path), planes[1])


def test_strips_and_rows_without_compression_are_read_in_pieces(tmp_path):
    pixels = cloudy()
    write(tmp_path / "deflate.tif", downsamples=(1,), tile=None, rowsperstrip=50, compression="zlib")
    write(tmp_path / "raw.tif", np.tile(pixels, (3, 1, 1)), (1,), tile=None, rowsperstrip=10_000)
    for path, expected in ((tmp_path / "deflate.tif", pixels), (tmp_path / "raw.tif", np.tile(pixels, (3, 1, 1)))):
        with open_slide(path) as slide:
            assert slide.info.reader == "tiff"
            assert np.array_equal(slide.read_region(Region(13, 17, 0, 600, 400)), expected[17:417, 13:613])
        assert np.array_equal(whole(path), expected)


def test_one_huge_compressed_strip_is_refused_not_decoded_for_every_patch(tmp_path):
    pixels = np.zeros((7_000, 7_000, 3), np.uint8)
    path = write(tmp_path / "a.tif", pixels, (1,), tile=None, rowsperstrip=7_000, compression="zstd")
    assert "stores 7000 × 7000 px in one piece" in refused(path)


def test_grey_is_shown_as_grey_and_transparent_pixels_as_white(tmp_path):
    grey = cloudy()[..., 0]
    path = write(tmp_path / "grey.tiff", grey, (1,), photometric="minisblack", compression="lzma")
    assert np.array_equal(whole(path), np.repeat(grey[..., np.newaxis], 3, 2))
    path = write(tmp_path / "negative.tiff", grey, (1,), photometric="miniswhite", compression="lzma")
    assert np.array_equal(whole(path), 255 - np.repeat(grey[..., np.newaxis], 3, 2))
    clear = np.dstack(
        [cloudy(), np.where(np.arange(WIDTH) < 300, 0, 255).astype(np.uint8)[np.newaxis].repeat(HEIGHT, 0)]
    )
    path = write(tmp_path / "clear.tiff", clear, (1,), extrasamples=["unassalpha"], compression="lzma")
    pixels = whole(path)
    assert (pixels[:, :300] == 255).all()
    assert np.array_equal(pixels[:, 300:], cloudy()[:, 300:])


def test_aperio_that_openslide_does_not_open_keeps_its_scale(tmp_path):
    text = "Aperio Image Library v12\r\n701x463 Q=90|AppMag = 40|MPP = 0.2527|Filename = a"
    path = write(tmp_path / "a.svs", downsamples=(1,), compression="lzma", description=text)
    with open_slide(path) as slide:
        info = slide.info
    assert (info.reader, info.vendor, info.mpp, info.mpp_source) == ("tiff", "aperio", 0.2527, "aperio.MPP")
    assert (info.magnification, info.magnification_source) == (40, "aperio.AppMag")


@pytest.mark.parametrize("stated", ["openslide", "tiff"])
@pytest.mark.parametrize("compression", ["jpeg", "zlib", None])
def test_forced_tiff_reader_gives_the_bytes_of_openslide(tmp_path, compression, stated):
    path = write(tmp_path / "a.tiff", downsamples=(1, 2), compression=compression)
    with open_slide(path, reader=stated) as slide, open_slide(path) as usual:
        assert (slide.info.reader, usual.info.reader) == (stated, "openslide")
        assert slide.info.levels == usual.info.levels
        for region in (Region(-9, -9, 0, 300, 300), Region(400, 300, 0, 400, 300), Region(0, 0, 1, 99, 77)):
            assert np.array_equal(slide.read_region(region), usual.read_region(region))


def test_jpeg_2000_in_ycbcr_is_turned_to_rgb(tmp_path):
    luma = cv2.cvtColor(cloudy(128, 128), cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    plain = imagecodecs.jpeg2k_encode(
        np.ascontiguousarray(luma), level=0, codecformat="j2k", mct=False, reversible=True
    )
    with tifffile.TiffWriter(tmp_path / "a.tiff") as writer:
        writer.write(
            iter([plain]), shape=(128, 128, 3), dtype="uint8", tile=(128, 128), photometric="ycbcr", compression=34712,
            subsampling=(1, 1), metadata=None,
        )  # fmt: skip
    difference = np.abs(whole(tmp_path / "a.tiff", mpp=0.5).astype(int) - cloudy(128, 128))
    assert difference.max() <= 3


@pytest.mark.parametrize(
    ("pixels", "how", "cause"),
    [
        (cloudy().astype(np.uint16) * 200, {}, "3 × 16-bit samples a pixel"),
        (cloudy()[..., 0].astype(np.float32), {"photometric": "minisblack"}, "1 × 32-bit floating-point samples"),
        (np.ascontiguousarray(np.moveaxis(cloudy(), -1, 0)), {"planarconfig": "separate"}, "planes apart"),
    ],
)
def test_pixels_that_cannot_be_shown_rightly_are_refused(tmp_path, pixels, how, cause):
    path = write(tmp_path / "a.ome.tif", pixels, (1,), compression="lzma", **how)
    assert cause in refused(path, reader="tiff")


def test_channels_kept_apart_are_refused(tmp_path):
    pixels = np.ascontiguousarray(np.moveaxis(cloudy(), -1, 0))
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels, ome=True, photometric="minisblack", tile=(64, 64), metadata={"axes": "CYX"}
    )
    assert "keeps 3 channels apart" in refused(tmp_path / "a.ome.tif", mpp=0.5)


def test_ome_tiff_whose_pixels_lie_in_another_file_is_refused(tmp_path):
    pixels = (
        '<Pixels ID="P:0" DimensionOrder="XYCZT" Type="uint8" SizeX="701" SizeY="463" SizeC="3" SizeZ="1" SizeT="1">'
    )
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}"><Image ID="I:0">' + pixels
        + '<Channel ID="C:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1">'
        '<UUID FileName="b.ome.tif">urn:uuid:b</UUID></TiffData></Pixels></Image></OME>'
    )  # fmt: skip
    write(tmp_path / "a.ome.tif", cloudy(seed=1), (1,), compression="lzma", description=xml.format(own="a"))
    write(tmp_path / "b.ome.tif", cloudy(seed=2), (1,), compression="lzma", description=xml.format(own="b"))
    assert "the pixels of a.ome.tif lie in b.ome.tif" in refused(tmp_path / "a.ome.tif", mpp=0.5)
    assert np.array_equal(whole(tmp_path / "b.ome.tif", mpp=0.5), cloudy(seed=2))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_ome_tiff_that_is_cut_short_is_refused(tmp_path, share):
    path = write_ome(tmp_path / "a.ome.tiff")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    message = refused(path)
    assert "cut short" in message
    assert "copy it again" in message


def test_damage_of_any_kind_is_refused_or_read_never_an_unforeseen_error(tmp_path):
    whole_file = write(tmp_path / "a.tiff", cloudy(150, 90), (1, 2), compression="lzma").read_bytes()
    tags = np.random.default_rng(1)
    for trial in range(150):
        content = bytearray(whole_file)
        for at in tags.integers(0, 400 if trial % 2 else len(content), 8):
            content[at] = tags.integers(0, 256)
        (tmp_path / "b.tiff").write_bytes(content)
        try:
            whole(tmp_path / "b.tiff", mpp=0.5, reader="tiff")
        except UnreadableSlide as refusal:
            message = str(refusal)
            assert message.startswith("b: ")


def test_damaged_tile_of_a_tiff_is_refused_when_it_is_read(tmp_path):
    path = write(tmp_path / "a.tiff", compression="lzma", downsamples=(1,))
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages.first.dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    assert refused(path).startswith("a: the pixels at (0, 0) of level 0 cannot be decoded")


def test_what_is_no_tiff_is_refused_by_the_tiff_reader(tmp_path):
    (tmp_path / "a.tiff").write_bytes(b"\x89PNG")
    assert refused(tmp_path / "a.tiff", reader="tiff").startswith("a: a.tiff is no TIFF")


def test_overview_in_a_vsi_is_not_taken_for_the_slide(tmp_path):
    path = write(tmp_path / "a.vsi", compression="jpeg")
    assert "Olympus VSI, which no reader opens; convert it to OME-TIFF" in refused(path)
    assert "Olympus VSI" in refused(path, reader="tiff")

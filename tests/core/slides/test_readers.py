"""Opening slides and reading their pixels."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painting import TISSUE_COLOUR, paint_slide, stain, white
from PIL import Image

from atlaspatch_core.errors import ImplausibleScale, UnknownName, UnknownScale, UnreadableSlide
from atlaspatch_core.slides.readers import READERS, SUFFIXES, open_slide
from atlaspatch_core.slides.readers.labels import institution_of, stain_of, vendor_of
from atlaspatch_core.slides.readers.openslide_files import refusal
from atlaspatch_core.slides.readers.openslide_pixels import backdrop, background_of, composite
from atlaspatch_core.slides.slide import Level, Region, stem_of

pytestmark = pytest.mark.quick


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(path: Path, region: Region, **options) -> np.ndarray:
    with open_slide(path, **options) as slide:
        return slide.read_region(region)


def refused(path: Path, **options) -> str:
    with pytest.raises(UnreadableSlide) as caught, open_slide(path, **options) as slide:
        slide.read_region(Region(0, 0, 0, slide.info.width, slide.info.height))
    return str(caught.value)


def test_bundled_slide_tells_its_size_scale_and_maker(bundled_slide):
    with open_slide(bundled_slide) as slide:
        info = slide.info
    assert (info.stem, info.reader, info.levels) == ("CMU-1-Small-Region", "openslide", (Level(2220, 2967, 1.0),))
    assert (info.mpp, info.mpp_source) == (0.499, "openslide.mpp-x")
    assert (info.magnification, info.magnification_source) == (20.0, "openslide.objective-power")
    assert (info.vendor, info.scale_note) == ("aperio", "")


def test_levels_of_a_pyramid_come_finest_first(tmp_path):
    path = paint_slide(tmp_path / "a.tiff", white(1000, 600), levels=(1, 2, 4))
    with open_slide(path) as slide:
        assert slide.info.levels == (Level(1000, 600, 1.0), Level(500, 300, 2.0), Level(250, 150, 4.0))


def test_openslide_region_holds_the_painted_pixels(tmp_path):
    pixels = noise(600, 500)
    path = paint_slide(tmp_path / "a.svs", pixels)
    assert np.array_equal(read(path, Region(100, 50, 0, 300, 200)), pixels[50:250, 100:400])


def test_region_of_a_coarser_level_counts_in_px_of_that_level(tmp_path):
    path = paint_slide(tmp_path / "a.svs", stain(white(1024, 512), 256, 128, 256, 256))
    region = read(path, Region(256, 128, 1, 64, 64))
    assert region.shape == (64, 64, 3)
    assert np.array_equal(np.unique(region.reshape(-1, 3), axis=0), [TISSUE_COLOUR])


@pytest.mark.parametrize("name", ["a.svs", "a.png"])
def test_outside_the_slide_is_white_on_all_four_sides(tmp_path, name):
    pixels = noise(300, 200)
    path = tmp_path / name
    paint_slide(path, pixels, levels=(1,)) if path.suffix == ".svs" else Image.fromarray(pixels).save(path)
    region = read(path, Region(-20, -10, 0, 350, 240), mpp=0.5)
    expected = white(350, 240)
    expected[10:210, 20:320] = pixels
    assert np.array_equal(region, expected)


@pytest.mark.parametrize("name", ["a.svs", "a.png"])
def test_region_that_misses_the_slide_is_white(tmp_path, name):
    path = tmp_path / name
    pixels = noise(100, 100)
    paint_slide(path, pixels, levels=(1,)) if path.suffix == ".svs" else Image.fromarray(pixels).save(path)
    assert read(path, Region(500, 700, 0, 8, 9), mpp=0.5).tolist() == white(8, 9).tolist()


def test_transparent_pixels_show_the_background_inside_the_slide_and_white_outside():
    level = Level(4, 4, 2.0)
    under = backdrop(Region(-2, 4, 0, 6, 4), level, (10, 20, 30))
    assert (under[:2, 1:5] == (10, 20, 30)).all()
    assert (under[2:] == 255).all()
    assert (under[:, 0] == 255).all()
    assert (under[:, 5] == 255).all()
    half = np.full((4, 6, 4), (100, 100, 100, 51), np.uint8)
    assert composite(half, under)[0, 1].tolist() == [28, 36, 44]
    assert composite(half, under)[0, 0].tolist() == [224, 224, 224]


def test_background_is_white_unless_six_hex_digits_are_stated():
    assert background_of({"openslide.background-color": "0A0b0C"}) == (10, 11, 12)
    assert background_of({}) == background_of({"openslide.background-color": "none"}) == (255, 255, 255)


def test_many_threads_read_the_same_pixels(tmp_path):
    pixels = noise(512, 512)
    slides = [paint_slide(tmp_path / "a.tiff", pixels), tmp_path / "b.png"]
    Image.fromarray(pixels).save(slides[1])
    corners = [(x, y) for y in range(0, 512, 64) for x in range(0, 512, 64)]
    for path in slides:
        with open_slide(path, mpp=0.5) as slide, ThreadPoolExecutor(4) as pool:
            found = pool.map(slide.read_region, [Region(x, y, 0, 64, 64) for x, y in corners])
            assert all(
                np.array_equal(a, pixels[y : y + 64, x : x + 64]) for a, (x, y) in zip(found, corners, strict=True)
            )


def test_content_decides_the_reader_before_the_suffix_does(tmp_path):
    path = paint_slide(tmp_path / "a.svs", white(64, 64), levels=(1,)).rename(tmp_path / "a.png")
    Image.new("RGB", (5, 4)).save(tmp_path / "b.jpg", format="PNG")
    with open_slide(path) as tiff, open_slide(tmp_path / "b.jpg", mpp=1) as png:
        assert (tiff.info.reader, png.info.reader) == ("openslide", "image")


def test_a_named_reader_is_taken_and_an_unknown_one_refused(tmp_path):
    path = paint_slide(tmp_path / "a.svs", white(64, 64), levels=(1,))
    assert "no picture that Pillow knows" in refused(path, reader="image")
    with pytest.raises(UnknownName, match="no reader is called 'magic'; there are openslide, tiff"):
        open_slide(path, reader="magic")


def test_suffixes_are_those_of_all_readers():
    assert {".svs", ".ndpi", ".mrxs", ".dcm", ".tiff", ".png", ".jpeg", ".webp"} <= set(SUFFIXES)
    assert len(SUFFIXES) == len(set(SUFFIXES)) == sum(len(reader.suffixes) for reader in READERS.values())


def test_listing_the_readers_imports_none_of_their_libraries():
    loaded = "print(sorted({'openslide', 'PIL', 'torch', 'cv2'} & set(sys.modules)))"
    code = f"import sys, atlaspatch_core.slides.readers; {loaded}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_user_mpp_wins_and_brings_its_own_magnification(bundled_slide):
    with open_slide(bundled_slide, mpp=0.25, mpp_source="mpp csv") as slide:
        info = slide.info
    assert (info.mpp, info.mpp_source, info.magnification, info.magnification_source) == (
        0.25,
        "mpp csv",
        40,
        "mpp bucket",
    )
    assert info.scale_note == "0.25 µm/px (mpp csv) counts, unlike 0.499 µm/px (openslide.mpp-x)"


def test_picture_without_an_mpp_is_refused_with_the_cure(tmp_path):
    Image.new("RGB", (5, 4)).save(tmp_path / "a.png", dpi=(72, 72))
    with pytest.raises(UnknownScale, match=r"^a: .*wsi,mpp \(--mpp-csv\)"):
        open_slide(tmp_path / "a.png")


def test_tiff_with_a_screen_resolution_is_refused_by_that_name(tmp_path):
    path = paint_slide(tmp_path / "a.tiff", white(64, 64), mpp=25400 / 72, levels=(1,))
    with pytest.raises(ImplausibleScale, match=r"^a: 352\.778 µm/px .openslide\.mpp-x. .*: 72 dots per inch"):
        open_slide(path)


def picture(path: Path, image: Image.Image, **options) -> list[int]:
    image.save(path, **options)
    return read(path, Region(0, 0, 0, 1, 1), mpp=0.5)[0, 0].tolist()


def test_every_mode_of_a_picture_becomes_rgb(tmp_path):
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    assert picture(tmp_path / "palette.png", palette) == [9, 8, 7]
    assert picture(tmp_path / "see-through.png", palette, transparency=1) == [255, 255, 255]
    assert picture(tmp_path / "alpha.png", Image.new("RGBA", (2, 2), (0, 100, 200, 51))) == [204, 224, 244]
    assert picture(tmp_path / "grey-alpha.png", Image.new("LA", (2, 2), (0, 255))) == [0, 0, 0]
    assert picture(tmp_path / "one-bit.png", Image.new("1", (2, 2), 1)) == [255, 255, 255]
    assert picture(tmp_path / "grey.bmp", Image.new("L", (2, 2), 77)) == [77, 77, 77]
    assert picture(tmp_path / "web.webp", Image.new("RGB", (2, 2), (1, 2, 3)), lossless=True) == [1, 2, 3]
    assert picture(tmp_path / "moving.gif", palette, save_all=True, append_images=[Image.new("P", (2, 2))]) == [9, 8, 7]
    assert picture(tmp_path / "print.jpg", Image.new("CMYK", (2, 2), (0, 0, 0, 255))) == [0, 0, 0]


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_picture_of_more_than_8_bits_grey_is_refused(tmp_path, kind):
    path = tmp_path / ("deep.png" if kind == np.uint16 else "deep.tif")
    Image.fromarray(np.full((2, 2), 0x80FF, kind)).save(path)
    assert refused(path, mpp=0.5).startswith(f"deep: {path.name} ")
    assert "8-bit RGB and grey can be shown as they are" in refused(path, mpp=0.5)


def test_picture_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    Image.new("1", (300, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    message = refused(tmp_path / "a.png", mpp=0.5)
    assert message.startswith("a: too large to hold in memory as a picture")
    assert "vips tiffsave" in message


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize("name", ["a.svs", "a.tiff", "a.png", "a.jpg"])
def test_truncated_file_is_refused_never_read_as_white(tmp_path, name, share):
    path = tmp_path / name
    pixels = noise(600, 400)
    paint_slide(path, pixels) if name in ("a.svs", "a.tiff") else Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    message = refused(path, mpp=0.5)
    assert message.startswith("a: ")
    assert "cut short" in message
    assert "copy it again" in message


def test_damaged_tile_is_refused_when_it_is_read(tmp_path):
    path = paint_slide(tmp_path / "a.svs", noise(600, 400), levels=(1, 4), compression="jpeg")
    damaged = bytearray(path.read_bytes())
    start = damaged.index(b"\xff\xd8")
    damaged[start : start + 400] = bytes(400)
    path.write_bytes(damaged)
    assert ", 0) of level 0 cannot be decoded" in refused(path)


def test_no_slide_no_file_an_empty_file_and_a_folder_are_each_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no slide")
    (tmp_path / "empty.svs").touch()
    (tmp_path / "text.svs").write_text("no slide")
    (tmp_path / "folder.tiff").mkdir()
    assert refused(tmp_path / "notes.txt").startswith("notes: notes.txt is no slide; give one of .svs")
    assert refused(tmp_path / "empty.svs").startswith("empty: empty.svs is empty")
    assert "begins as no slide does; copy it again" in refused(tmp_path / "text.svs")
    assert "No such file" in refused(tmp_path / "missing.svs")
    assert "is a folder and not one slide" in refused(tmp_path / "folder.tiff")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.svs", bytes(1000), "begins with zeros, as copies do that broke off; copy it again"),
        ("a.ndpi", b"PK\3\4", "is a ZIP archive; unpack it"),
        ("a.tiff", b"\n<!DOCTYPE HTML>\n404", "is a web page, which servers send"),
        (
            "a.dcm",
            b"version https://git-lfs.github.com/spec/v1",
            "is the pointer that Git LFS leaves in place of a file; fetch it with `git lfs pull`",
        ),
        ("a.vms", b"[Virtual Microscope Specimen]", "is an index, the files of which are missing or damaged; copy all"),
        ("a.scn", b"?" * 1000, "is damaged, or of another format than its name says: it begins as no slide does; copy"),
        ("a.jpg", b"?" * 1000, "is damaged, or of another format than its name says: it begins as no slide does; copy"),
        ("a.svs", b"II*\0\10\0\0\0" + bytes(1000), "is cut short"),
    ],
)
def test_a_file_that_is_damaged_or_no_slide_is_called_so_and_not_converted(tmp_path, name, content, told):
    """A file that is damaged or something else is called so and not to be converted."""
    path = tmp_path / name
    path.write_bytes(content)
    message = refused(path, mpp=0.5)
    assert message.startswith(f"a: {name} {told}")
    assert "convert" not in message


def test_a_mirax_slide_without_its_folder_is_not_taken_for_a_picture(tmp_path):
    Image.fromarray(noise(60, 40)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.mrxs")
    assert refused(tmp_path / "a.mrxs", mpp=0.5).startswith("a: a.mrxs lacks its folder a/ with Slidedat.ini")


@pytest.mark.parametrize("reader", ["openslide", "tiff", "dicom", "image"])
def test_a_reader_that_was_forced_on_another_format_is_to_be_left_out(tmp_path, reader):
    path = tmp_path / ("a.tiff" if reader == "image" else "a.png")
    pixels = noise(60, 40)
    paint_slide(path, pixels) if reader == "image" else Image.fromarray(pixels).save(path)
    message = refused(path, mpp=0.5, reader=reader)
    assert "; leave out the reader, so that another is asked" in message
    assert "damaged" not in message


def test_unsupported_compression_is_called_by_its_name():
    message = str(refusal(Path("a.tiff"), "Unsupported TIFF compression: 34712"))
    assert message.startswith("a: its pixels are compressed with JPEG 2000, which OpenSlide cannot decode; leave out")


def test_labels_come_from_known_keys_first_then_from_any_key_with_the_word():
    properties = {
        "tiff.Make": "Acme",
        "Aperio.StainDescription": "H&E",
        "x.Institution.y": "St. Elsewhere",
        "a.stain": "?",
    }
    assert (vendor_of(properties), stain_of(properties), institution_of(properties)) == ("Acme", "H&E", "St. Elsewhere")
    assert vendor_of({"openslide.vendor": " "}) is None


def test_stem_takes_ome_suffixes_as_one():
    names = ["a.svs", "a.ome.tiff", "a.OME.TIF", "a.b.svs", "a.ome.zarr"]
    assert [stem_of(Path(name)) for name in names] == ["a", "a", "a", "a.b", "a"]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("openslide_python_fixtures/unopenable.tiff", "TIFF compression 52479"),
        ("openslide_python_fixtures/unreadable.svs", "a JPEG with markers where its pixels are"),
    ],
)
def test_broken_slides_of_others_are_refused_with_the_cause(shared_slides, name, cause):
    assert cause in refused(shared_slides / name)


def test_mpp_a_hundred_times_too_small_is_guessed(shared_slides):
    with pytest.raises(ImplausibleScale, match=r"0\.00499 µm/px .*100 times too small\? \(0\.499 would fit\)"):
        open_slide(shared_slides / "wsic" / "CMU-1-Small-Region.jpeg.tiff")


def test_whatever_a_library_raises_of_damaged_bytes_is_an_unreadable_slide(tmp_path, monkeypatch):
    paint_slide(tmp_path / "a.svs", white(256, 256))

    def fail(*_: object) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setitem(READERS, "tiff", replace(READERS["tiff"], open=fail))
    with pytest.raises(UnreadableSlide, match=r"^a: a\.svs is damaged, .*invalid start byte.*; copy it again"):
        open_slide(tmp_path / "a.svs", reader="tiff")

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from openslide import OpenSlide
from painting import paint_slide, stain, white
from PIL import Image

from atlaspatch_core.cli.main import cli
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import (
    AtlasPatchError,
    ImplausibleScale,
    MissingExtra,
    UnreadableOutput,
    UnreadableSlide,
    UnwritableOutput,
)
from atlaspatch_core.interop.convert.conversion import Converted, Stopped, convert, try_convert
from atlaspatch_core.interop.convert.settings import Settings
from atlaspatch_core.interop.convert.sources import open_pixels
from atlaspatch_core.interop.convert.verification import halves, jpeg_error, verify_conversion
from atlaspatch_core.interop.convert.vips import vips
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.slide import Region
from atlaspatch_core.validity.outcome import Status

pytest.importorskip("pyvips")


def texture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return tissue-like colours that differ from place to place, so that a shift shows."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 255, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    return np.ascontiguousarray(np.repeat(np.repeat(coarse, 16, axis=0), 16, axis=1)[:height, :width])


def source(path: Path, mpp: float | None = None) -> SlideSource:
    return SlideSource(path.stem, path, mpp, "mpp csv" if mpp else "")


JPEG_90 = Settings()


def go() -> None:
    """Nobody wants to stop."""


def run(path: Path, folder: Path, settings: Settings = JPEG_90, *, mpp: float | None = None) -> Converted:
    return convert(source(path, mpp), folder, settings, check=go)


def command(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["convert", *map(str, arguments)])


def pixels_of(path: Path) -> np.ndarray:
    with open_slide(path) as slide:
        return slide.read_region(Region(0, 0, 0, slide.info.width, slide.info.height))


def left_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name != ".locks")


def blank_tiles(path: Path) -> None:
    """Write zeros over the pixels of the first level, as a bad disk may."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        tiles = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    with path.open("r+b") as file:
        for offset, size in tiles:
            file.seek(offset)
            file.write(bytes(size))


def test_without_loss_every_pixel_is_the_slides_own(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(1500, 1111), mpp=0.2517)

    done = run(path, tmp_path / "to", Settings(compression="deflate"))

    assert done.status is Status.COMPUTED
    assert np.array_equal(pixels_of(tmp_path / "to" / "a.tiff"), texture(1500, 1111))


def test_openslide_reads_the_same_scale_and_a_pyramid_of_halves(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(1500, 1111), mpp=0.2517)

    run(path, tmp_path / "to")

    with OpenSlide(tmp_path / "to" / "a.tiff") as slide:
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.2517, rel=1e-6)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.2517, rel=1e-6)
        assert slide.level_dimensions == ((1500, 1111), (750, 555), (375, 277), (187, 138))
        assert slide.properties["openslide.level[0].tile-width"] == "256"


def test_the_file_is_a_bigtiff_with_px_per_centimetre(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(600, 600), mpp=0.5)

    run(path, tmp_path / "to")

    with tifffile.TiffFile(tmp_path / "to" / "a.tiff") as file:
        per_cm, one = file.pages.first.tags["XResolution"].value
        assert file.is_bigtiff
        assert per_cm / one == pytest.approx(20_000, rel=1e-6)
        assert file.pages.first.tags["ResolutionUnit"].value == 3


def test_jpeg_changes_pixels_by_no_more_than_jpeg_does(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(700, 700))

    run(path, tmp_path / "to", Settings(quality=75))

    found = pixels_of(tmp_path / "to" / "a.tiff").astype(int)
    assert 0 < np.abs(found - texture(700, 700)).mean() <= 2 * jpeg_error(texture(700, 700), 75)


def test_a_downscaled_slide_has_fewer_and_wider_pixels(tmp_path):
    path = paint_slide(tmp_path / "a.svs", stain(white(2000, 1000), 500, 250, 1000, 500), mpp=0.25)

    done = run(path, tmp_path / "to", Settings(downscale=2.5))

    assert done.info is not None
    assert (done.info.width, done.info.height) == (800, 400)
    assert done.info.mpp == pytest.approx(0.625, rel=1e-6)
    small = pixels_of(tmp_path / "to" / "a.tiff")
    assert np.abs(small[200, 400].astype(int) - (200, 80, 150)).max() <= 3
    assert (small[5, 5] == 255).all()


def test_a_finished_file_is_verified_and_kept(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(600, 600))
    run(path, tmp_path / "to")
    before = (tmp_path / "to" / "a.tiff").stat().st_mtime_ns

    again = run(path, tmp_path / "to")

    assert again.status is Status.REUSED
    assert (tmp_path / "to" / "a.tiff").stat().st_mtime_ns == before


def test_other_settings_convert_anew_and_say_why(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(600, 600))
    run(path, tmp_path / "to")

    again = run(path, tmp_path / "to", Settings(quality=70))

    assert (again.status, again.why) == (Status.COMPUTED, "quality 90 → 70")


def test_another_slide_of_the_same_name_converts_anew(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(600, 600))
    run(path, tmp_path / "to")
    paint_slide(path, texture(600, 600, seed=1))

    again = run(path, tmp_path / "to", Settings(compression="deflate"))

    assert again.status is Status.COMPUTED
    assert np.array_equal(pixels_of(tmp_path / "to" / "a.tiff"), texture(600, 600, seed=1))


def test_a_file_that_was_damaged_since_is_converted_anew(tmp_path):
    path, result = paint_slide(tmp_path / "a.svs", texture(1024, 1024)), tmp_path / "to" / "a.tiff"
    run(path, tmp_path / "to")
    blank_tiles(result)

    again = run(path, tmp_path / "to")

    assert again.status is Status.COMPUTED
    assert again.why
    assert run(path, tmp_path / "to").status is Status.REUSED


def test_a_file_of_somebody_else_is_left_alone(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(600, 600))
    theirs = tmp_path / "to" / "a.tiff"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")

    with pytest.raises(UnwritableOutput, match="not made by atlaspatch convert; move it away, or use --force"):
        run(path, tmp_path / "to")

    assert theirs.read_bytes() == b"theirs"
    assert convert(source(path), tmp_path / "to", Settings(), force=True, check=go).status is Status.COMPUTED


def test_what_differs_from_the_slide_is_found(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(1000, 800))
    run(path, tmp_path / "to")
    result = tmp_path / "to" / "a.tiff"

    with open_pixels(source(path)) as pixels:

        def read(x: int, y: int, width: int, height: int) -> np.ndarray:
            return pixels.region(x, y, width, height)

        swapped = replace(pixels, region=lambda *place: read(*place)[..., ::-1])
        shifted = replace(pixels, region=lambda *place: np.roll(read(*place), 3, axis=1))
        wrong = {
            "pixels differ": swapped,
            "pixels differ by": shifted,
            "0.5 µm/px, expected 0.25": replace(pixels, mpp=0.25),
            "1000 × 800 px, expected 1001 × 800": replace(pixels, width=1001),
        }
        for text, other in wrong.items():
            with pytest.raises(UnreadableOutput, match=text):
                verify_conversion("a", result, other, Settings())
        assert verify_conversion("a", result, pixels, Settings()).width == 1000


def test_levels_end_with_one_that_fits_into_a_tile():
    assert list(halves(1025, 300)) == [(1025, 300), (512, 150), (256, 75)]
    assert list(halves(256, 256)) == [(256, 256)]


def test_transparent_pixels_become_white(tmp_path):
    rgba = np.zeros((400, 600, 4), np.uint8)
    rgba[:, 300:] = (200, 80, 150, 255)
    Image.fromarray(rgba).save(tmp_path / "a.png")

    run(tmp_path / "a.png", tmp_path / "to", Settings(compression="deflate"), mpp=0.5)

    found = pixels_of(tmp_path / "to" / "a.tiff")
    assert (found[:, :300] == 255).all()
    assert (found[:, 300:] == (200, 80, 150)).all()


def test_grey_and_palettes_become_rgb(tmp_path):
    grey = texture(300, 300)[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(texture(300, 300)).quantize(16).save(tmp_path / "few.png")

    run(tmp_path / "grey.png", tmp_path / "to", Settings(compression="deflate"), mpp=0.5)
    run(tmp_path / "few.png", tmp_path / "to", Settings(compression="deflate"), mpp=0.5)

    assert np.array_equal(pixels_of(tmp_path / "to" / "grey.tiff"), np.repeat(grey[..., None], 3, axis=2))
    assert np.array_equal(
        pixels_of(tmp_path / "to" / "few.tiff"), np.asarray(Image.open(tmp_path / "few.png").convert("RGB"))
    )


def cmyk_tiff(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((512, 512, 4), np.uint8), photometric="separated", tile=(256, 256))


def deep_tiff(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((512, 512, 3), np.uint16), photometric="rgb", tile=(256, 256))


def channels(path: Path) -> None:
    planes = np.zeros((5, 512, 512), np.uint8)
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": "CYX"}, photometric="minisblack", tile=(256, 256))


def deep_png(path: Path) -> None:
    Image.fromarray(np.zeros((300, 300), np.uint16)).save(path)


def cmyk_jpeg(path: Path) -> None:
    Image.fromarray(np.zeros((300, 300, 4), np.uint8), "CMYK").save(path)


@pytest.mark.parametrize(
    ("name", "paint", "complaint"),
    [
        ("a.tiff", cmyk_tiff, "has colours of the kind SEPARATED, which are not RGB"),
        ("a.tiff", deep_tiff, "has 16 bits per channel, which 8-bit RGB would cut"),
        ("a.ome.tiff", channels, "has 5 channels, not one picture in colour"),
        ("a.png", deep_png, "has pixels of the kind ushort, not 8 bits"),
        ("a.jpg", cmyk_jpeg, "has colours of the kind cmyk"),
    ],
)
def test_colours_that_8_bit_rgb_cannot_hold_are_refused(tmp_path, name, paint, complaint):
    paint(tmp_path / name)

    with pytest.raises(UnreadableSlide, match=f"^a: {name} {complaint}.*; export it as 8-bit RGB first$"):
        convert(SlideSource("a", tmp_path / name, 0.5, "mpp csv"), tmp_path / "to", Settings(), check=go)

    assert left_in(tmp_path / "to") == []


def test_a_damaged_slide_leaves_nothing(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(2048, 2048), compression="jpeg")
    whole = path.read_bytes()
    path.write_bytes(whole[:4000] + bytes(len(whole) // 2) + whole[4000 + len(whole) // 2 :])

    with pytest.raises(AtlasPatchError, match=r"^a: "):
        run(path, tmp_path / "to")

    assert left_in(tmp_path / "to") == []


def test_a_picture_that_was_cut_short_leaves_nothing(tmp_path):
    Image.fromarray(texture(1000, 1000)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(UnwritableOutput, match="copy the slide again"):
        run(tmp_path / "a.png", tmp_path / "to", mpp=0.5)

    assert left_in(tmp_path / "to") == []


def test_a_conversion_that_nobody_wants_ends_and_leaves_nothing(tmp_path):
    path, calls = paint_slide(tmp_path / "a.svs", texture(600, 3000)), []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        convert(source(path), tmp_path / "to", Settings(), check=check)

    assert left_in(tmp_path / "to") == []


def test_what_a_killed_conversion_left_is_removed_by_the_next(tmp_path):
    path, left = paint_slide(tmp_path / "a.svs", texture(300, 300)), tmp_path / "to" / f".a.{'0' * 32}.tmp"
    left.parent.mkdir()
    left.write_bytes(b"half")

    assert command(path, "--to", tmp_path / "to").exit_code == 0
    assert left_in(tmp_path / "to") == ["a.tiff"]


def test_advice_is_not_to_use_the_command_that_failed(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((100, 300, 3), np.uint8)).save(tmp_path / "a.bmp")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)  # of this process, which is to be the one that reads
    monkeypatch.setattr("atlaspatch_core.discovery.sources.isolates", lambda: False)

    result = command(tmp_path / "a.bmp", "--to", tmp_path / "to")

    assert result.exit_code == 1
    assert "have the software that opens it save another format" in result.stdout
    assert "atlaspatch convert" not in result.stdout


def test_a_script_for_trident_is_understood(tmp_path):
    (tmp_path / "slides").mkdir()
    path = paint_slide(tmp_path / "slides" / "a.svs", white(300, 200))
    (tmp_path / "mpp.csv").write_text("wsi,mpp\na.svs,0.25\n")
    places = ("--input_dir", path.parent, "--mpp_csv", tmp_path / "mpp.csv", "--job_dir", tmp_path / "to")

    result = command(*places, "--downscale_by", 2, "--num_workers", 1, "--bigtiff")

    assert result.exit_code == 0, result.output
    assert "0.5 µm/px" in result.stdout
    assert command("--to", tmp_path / "to").exit_code == 2


def test_an_interrupted_slide_says_so(tmp_path):
    stop = Event()
    stop.set()

    done = try_convert(
        source(paint_slide(tmp_path / "a.svs", texture(300, 300))), tmp_path, Settings(), force=False, stop=stop
    )

    assert (done.status, done.why) == (Status.FAILED, "a: interrupted; run again to go on")


def test_a_slide_is_not_downscaled_beyond_what_can_be_read_back(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(600, 600), mpp=0.5)

    with pytest.raises(ImplausibleScale, match="downscaled by 100 is 50 µm/px, more than 20"):
        run(path, tmp_path / "to", Settings(downscale=100))


def test_one_bad_slide_stops_no_other(tmp_path):
    (tmp_path / "slides").mkdir()
    paint_slide(tmp_path / "slides" / "good.svs", texture(600, 600))
    (tmp_path / "slides" / "bad.svs").write_bytes(b"no slide")
    paint_slide(tmp_path / "slides" / "scaleless.tif", texture(300, 300), mpp=None)

    result = command(tmp_path / "slides", "--to", tmp_path / "to", "--num-workers", 2)

    lines = sorted(line.split("  ")[0:2] for line in result.stdout.splitlines()[:-1])
    assert result.exit_code == 1
    assert [line[0] for line in lines] == ["bad", "good", "scaleless"]
    assert "3 slides: 1 converted, 0 verified and kept, 2 failed" in result.stdout
    assert left_in(tmp_path / "to") == ["good.tiff"]


def test_a_table_states_the_scale_of_pictures(tmp_path):
    Image.fromarray(texture(300, 300)).save(tmp_path / "a.png")
    (tmp_path / "mpp.csv").write_text("wsi,mpp\na.png,0.25\n")

    result = command(tmp_path / "a.png", "--to", tmp_path / "to", "--mpp-csv", tmp_path / "mpp.csv")

    assert result.exit_code == 0, result.output
    assert "a  converted  300 × 300 px, 0.25 µm/px" in result.stdout


def test_two_files_of_one_stem_fail_unless_one_suffix_is_asked_for(tmp_path):
    slides = tmp_path / "slides"
    slides.mkdir()
    paint_slide(slides / "a.svs", texture(300, 300))
    paint_slide(slides / "a.tif", texture(300, 300))

    clash = command(slides, "--to", tmp_path / "to")
    chosen = command(slides, "--to", tmp_path / "to", "--wsi-ext", ".SVS .bif")

    assert clash.exit_code == 1
    assert "a  FAILED" in clash.stdout
    assert "have one stem and would write one output" in clash.stdout
    assert (chosen.exit_code, left_in(tmp_path / "to")) == (0, ["a.tiff"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--downscale-by", "0.5"), "downscale-by is 0.5: give 1 or more"),
        (("--downscale-by", "nan"), "nan is not a finite number"),
        (("--quality", "0"), "0 is not in the range 1<=x<=100"),
        (("--compression", "jp2k"), "'jp2k' is not one of"),
        (("--mpp-csv", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_options_that_cannot_be_used_are_wrong_usage(tmp_path, options, said):
    path = paint_slide(tmp_path / "a.svs", texture(300, 300))

    result = command(path, "--to", tmp_path / "to", *options)

    assert result.exit_code == 2
    assert said in result.stderr


def test_the_slides_own_folder_takes_no_copies(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(300, 300))

    result = command(path, "--to", tmp_path)

    assert result.exit_code == 2
    assert "copies would have the same stem; name another folder" in " ".join(result.stderr.split())


def test_a_suffix_that_no_slide_has_is_said(tmp_path):
    path = paint_slide(tmp_path / "a.svs", texture(300, 300))

    result = command(path, "--to", tmp_path / "to", "--wsi-ext", "ndpi")

    assert result.exit_code == 1
    assert "none of the 1 slides found has the suffix .ndpi" in result.stderr


@contextmanager
def without_pyvips(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    vips.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyvips", None)
        yield
    vips.cache_clear()


def test_a_missing_library_is_one_sentence(tmp_path, monkeypatch):
    path = paint_slide(tmp_path / "a.svs", texture(300, 300))

    with without_pyvips(monkeypatch):
        with pytest.raises(MissingExtra):
            vips()
        result = command(path, "--to", tmp_path / "to")

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "pip install" in result.stderr
    assert "atlaspatch[convert]" in result.stderr


def test_the_bundled_slide_is_converted(bundled_slide, tmp_path):
    done = run(bundled_slide, tmp_path / "to")

    assert done.info is not None
    assert (done.info.width, done.info.height) == (2220, 2967)
    assert done.info.mpp == pytest.approx(0.499, rel=1e-6)


def test_every_format_of_one_slide_gives_its_pixels(shared_slides, tmp_path):
    slides = {
        "CMU-1-Small-Region": shared_slides / "CMU-1-Small-Region.svs",
        "CMU-1-Small-Region.jp2": shared_slides / "wsic" / "CMU-1-Small-Region.jp2.tiff",
        "CMU-1-Small-Region.webp": shared_slides / "wsic" / "CMU-1-Small-Region.webp.tiff",
    }
    for stem, path in slides.items():
        convert(SlideSource(stem, path, 0.499, "mpp csv"), tmp_path, Settings(compression="deflate"), check=go)
        with open_slide(path, mpp=0.499) as slide, OpenSlide(tmp_path / f"{stem}.tiff") as result:
            own = slide.read_region(Region(900, 1200, 0, 500, 400))
            assert np.array_equal(np.asarray(result.read_region((900, 1200), 0, (500, 400)).convert("RGB")), own)

"""What ``atlaspatch inspect`` and ``atlaspatch doctor --slides`` tell of slides, to people and to scripts."""

import json
import os
import re
import signal
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
import shapely
from click.testing import CliRunner, Result
from painting import paint_slide, stain, white
from paths import ROOT
from PIL import Image, ImageCms
from waiting import SECONDS, until

from atlaspatch_core.cli.columns import columns, cut
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.find import discover
from atlaspatch_core.isolation import leases
from atlaspatch_core.isolation.leases import lend_process, return_process
from atlaspatch_core.isolation.process import IsolatedProcess
from atlaspatch_core.operations.slide_files.survey import survey_slides
from atlaspatch_core.operations.slide_files.surveyed import SurveyState
from atlaspatch_core.operations.slide_files.timed_survey import survey_in_time
from atlaspatch_core.storage import Store
from atlaspatch_core.tissue.contours import geojson_bytes

PAGE = (ROOT / "docs" / "inspecting.md").read_text(encoding="utf-8")


def inspect(*words: object) -> Result:
    return CliRunner().invoke(cli, ["inspect", *map(str, words)])


def values(*words: object) -> dict:
    return json.loads(inspect(*words, "--json").stdout)


def survey(*words: object) -> Result:
    return CliRunner().invoke(cli, ["doctor", "--slides", *map(str, words)])


def paint(path: Path, **how) -> Path:
    return paint_slide(path, stain(white(600, 500), 100, 100, 300, 300), **how)


def keys_of(found: object, above: str = "") -> set[str]:
    """Return all keys of JSON values, those below others with dots."""
    if isinstance(found, list):
        return {key for one in found for key in keys_of(one, above)}
    if not isinstance(found, dict):
        return set()
    names = {f"{above}{name}": value for name, value in found.items()}
    return set(names) | {key for name, value in names.items() for key in keys_of(value, f"{name}.")}


def documented_keys(heading: str) -> set[str]:
    """Return the keys in the table of a section of the page."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {key for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for key in re.findall(r"`([^`]+)`", row)}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of slides: three alike, one of another scale, one that was warned of, one without scale, one damaged."""
    for stem in ("a", "b", "c"):
        paint(tmp_path / f"{stem}.svs")
    paint(tmp_path / "fine.svs", mpp=0.25)
    paint(tmp_path / "unscaled.tif", mpp=None)
    paint(tmp_path / "warned.svs", mpp=0.5, objective_power=40)
    (tmp_path / "broken.svs").write_bytes(b"no slide")
    return tmp_path


def test_of_the_real_slide_pages_readers_and_scales_are_told(bundled_slide: Path):
    found = values(bundled_slide)

    assert [(part["name"], part["role"], part["compression"]) for part in found["parts"]] == [
        ("0", "level", "JPEG"), ("1", "thumbnail", "JPEG"), ("2", "label", "LZW"), ("3", "macro", "JPEG"),
    ]  # fmt: skip
    assert found["levels"] == [
        {
            "level": 0, "width": 2220, "height": 2967, "downsample_x": 1.0, "downsample_y": 1.0, "tile_width": 240,
            "tile_height": 240, "compression": "JPEG", "part": "page 0", "absent_tiles": 0,
        }
    ]  # fmt: skip
    assert [(it["name"], it["choice"]) for it in found["readers"]][:3] == [
        ("openslide", "taken"), ("tiff", "not asked"), ("dicom", "unknown"),
    ]  # fmt: skip
    assert {it["source"] for it in found["scales"]} >= {"openslide.mpp-x", "aperio.MPP", "tiff.ImageDescription"}
    assert (found["taken"]["mpp"], found["taken"]["magnification"]) == (0.499, 20)


def test_text_has_at_most_a_hundred_letters_a_line(bundled_slide: Path, mixed: Path, tmp_path: Path):
    deep = tmp_path / ("a long name of a folder " * 4) / f"{'long-stem-of-a-slide-' * 5}.svs"
    deep.parent.mkdir()
    for path in (bundled_slide, paint(deep), *mixed.glob("*.*")):
        lines = inspect(path).stdout.splitlines()
        assert max(map(len, lines)) <= 100, lines
    assert max(map(len, survey(mixed).stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    ("content", "suffix"), [(b"no slide", "svs"), (b"II*\0\x08\0\0\0", "tif"), (b"", "svs"), (b"%PDF-1.4 ", "ndpi")]
)
def test_a_broken_file_is_refused_with_a_sentence_of_each_reader_that_declined(tmp_path: Path, content, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    result, found = inspect(path), values(path)

    assert result.exit_code == 1
    assert "REFUSED: a: a." in result.stdout
    assert found["taken"] is None
    assert found["error"].startswith(f"a: a.{suffix} ")
    declined = [it for it in found["readers"] if it["choice"] == "declined"]
    assert len(declined) == (1 if content else 0)
    assert all(f"{it['name']:<9} declined: a.{suffix} " in result.stdout for it in declined)


def test_pixels_that_cannot_be_decoded_are_a_refusal_and_what_was_opened_is_told(tmp_path: Path):
    path = paint(tmp_path / "a.svs", compression="jpeg", levels=(1,))
    damaged = path.read_bytes()
    start = damaged.index(b"\xff\xd8")
    path.write_bytes(damaged[: start + 2] + bytes(2000) + damaged[start + 2002 :])
    result, found = inspect(path), values(path)

    assert result.exit_code == 1
    assert "cannot be decoded" in found["error"]
    assert found["taken"]["mpp"] == 0.5


def test_a_slide_without_a_scale_is_shown_all_the_same_and_a_table_gives_it_one(tmp_path: Path):
    path = paint(tmp_path / "a.tif", mpp=None)
    without = values(path)
    (tmp_path / "mpp.csv").write_text("wsi,mpp\na,0.5\n")
    stated = inspect(path, "--mpp-csv", tmp_path / "mpp.csv", "--json")

    assert (without["taken"]["width"], without["taken"]["mpp"], without["scales"]) == (600, None, [])
    assert "neither the file nor the user says" in without["error"]
    assert stated.exit_code == 0
    assert json.loads(stated.stdout)["scales"] == [
        {"source": "mpp csv", "x": 0.5, "y": 0.5, "origin": "user", "counts": True}
    ]


def test_a_property_that_the_user_names_counts(tmp_path: Path):
    path = paint(tmp_path / "a.svs", objective_power=20)
    found = values(path, "--custom-mpp-keys", "APERIO.appmag")

    assert found["error"].startswith("a: 20 µm/px (aperio.AppMag) contradicts 20x")
    assert values(path, "--reader-type", "tiff")["readers"][0] == {
        "name": "openslide", "choice": "not asked", "why": "tiff was asked for by name",
    }  # fmt: skip


def test_a_name_that_results_cannot_carry_is_a_refusal_and_is_printed(tmp_path: Path):
    path = paint(tmp_path / "a.svs").rename(tmp_path / os.fsdecode(b"caf\xe9.svs"))
    result, found = CliRunner().invoke(cli, ["inspect", str(path)]), values(path)

    assert result.exit_code == 1
    assert "its path is not UTF-8" in " ".join(result.stdout.split())
    assert (found["slide"], found["taken"]["mpp"]) == ("caf\\xe9", 0.5)


def test_a_colour_profile_is_named(tmp_path: Path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(white(64, 64)).save(tmp_path / "a.png", icc_profile=profile)

    pixels = values(tmp_path / "a.png")["pixels"]

    assert pixels["icc_profile"] == {"bytes": len(profile), "name": "sRGB built-in"}
    assert (pixels["samples"], pixels["bits"], pixels["colours"], pixels["alpha"]) == (3, 8, "RGB", False)


def test_the_picture_shows_the_slide_in_its_frame_with_the_tissue_outlined(tmp_path: Path):
    path, picture = paint(tmp_path / "a.svs"), tmp_path / "a.png"
    result = inspect(path, "--picture", picture)

    assert result.exit_code == 0, result.output
    assert "tissue found by otsu" in result.stderr
    pixels = cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB).astype(int)
    margin = 12
    assert (pixels[margin + 250, margin + 250] == (200, 80, 150)).all()
    assert (pixels[margin - 1, margin - 1 : margin + 601] == 0).all()
    is_red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)
    rows, columns = np.nonzero(is_red[: margin + 500])
    found = (columns.min() - margin, rows.min() - margin, columns.max() - margin, rows.max() - margin)
    assert np.abs(np.array(found) - (100, 100, 400, 400)).max() <= 24


def test_the_picture_shows_the_mask_of_an_output_folder(tmp_path: Path):
    path, picture = paint(tmp_path / "a.svs"), tmp_path / "a.png"
    mask = Store(tmp_path / "out").geojson("a")
    mask.parent.mkdir(parents=True)
    mask.write_bytes(geojson_bytes((shapely.box(450, 20, 550, 60),), "a"))
    result = inspect(path, "--picture", picture, "--output", tmp_path / "out")

    assert "tissue of the mask in" in result.stderr
    pixels = cv2.imread(str(picture))
    assert (pixels[12 + 20, 12 + 450] == (0, 0, 255)).all()
    assert (pixels[12 + 250, 12 + 100] == (150, 80, 200)).all()


def test_a_picture_is_a_png_and_is_told_when_it_cannot_be_made(tmp_path: Path):
    (tmp_path / "a.svs").write_bytes(b"no slide")
    path = paint(tmp_path / "b.svs")

    assert inspect(path, "--picture", tmp_path / "a.jpg").exit_code == 2
    (tmp_path / "file").write_text("no folder")
    blocked = inspect(path, "--picture", tmp_path / "file" / "b.png")
    assert blocked.exit_code == 1
    assert "no picture: " in blocked.stderr
    assert inspect(tmp_path / "a.svs", "--picture", tmp_path / "c.png").exit_code == 1
    assert not (tmp_path / "c.png").exists()


def test_every_key_of_the_json_is_documented_and_no_other(bundled_slide: Path, tmp_path: Path, mixed: Path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(white(64, 64)).save(tmp_path / "p.png", icc_profile=profile)
    of_file = keys_of(values(bundled_slide)) | keys_of(values(tmp_path / "p.png"))
    bounds = {f"taken.bounds.{side}" for side in ("x", "y", "width", "height")}
    of_folder = keys_of(json.loads(survey(mixed, "--json").stdout))

    assert of_file | bounds == documented_keys("What `inspect --json` gives")
    assert of_folder == documented_keys("What `doctor --slides --json` gives")


def test_of_a_folder_the_odd_slides_come_first_and_are_counted(mixed: Path):
    result = survey(mixed)
    found = json.loads(survey(mixed, "--json").stdout)

    states = [(it["slide"], it["state"]) for it in found["slides"]]
    assert states == [
        ("broken", "refused"), ("warned", "warned"), ("fine", "other scale"), ("unscaled", "no scale"), ("a", "fine"),
        ("b", "fine"), ("c", "fine"),
    ]  # fmt: skip
    assert found["summary"] == {
        "total": 7, "refused": 1, "warned": 1, "other_scale": 1, "no_scale": 1, "fine": 3, "majority_mpp": 0.5,
    }  # fmt: skip
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == (
        "7 slides: 1 refused, 1 warned, 1 other scale, 1 no scale, 3 fine; most have 0.5 µm/px"
    )
    assert "    0.25 µm/px, and most slides have 0.5" in result.stdout


@pytest.mark.parametrize(("left", "code"), [("abc", 0), (("fine", "a", "b"), 0), (("warned",), 0), (("unscaled",), 1)])
def test_the_exit_code_of_a_folder_says_whether_every_slide_can_be_worked_on(mixed: Path, left, code: int):
    for path in mixed.iterdir():
        if path.stem not in left:
            path.unlink()

    assert survey(mixed).exit_code == code


def test_where_two_scales_are_as_frequent_none_is_odd(mixed: Path):
    for stem in ("a", "b", "broken", "unscaled", "warned"):
        next(mixed.glob(f"{stem}.*")).unlink()
    result = survey(mixed)

    assert result.exit_code == 0
    assert "2 fine; no scale has a majority (1 of 0.5, 1 of 0.25 µm/px)" in result.stdout


def test_two_files_of_one_stem_and_a_link_to_nowhere_are_refused(tmp_path: Path):
    paint(tmp_path / "a.svs")
    paint(tmp_path / "a.tif")
    (tmp_path / "gone.svs").symlink_to(tmp_path / "nowhere.svs")
    found = json.loads(survey(tmp_path, "--json").stdout)

    assert [(it["slide"], it["state"]) for it in found["slides"]] == [("a", "refused"), ("gone.svs", "refused")]


def test_a_folder_without_slides_ends_with_one_and_options_of_slides_need_a_folder(tmp_path: Path):
    empty = survey(tmp_path)
    alone = CliRunner().invoke(cli, ["doctor", "--recursive"])

    assert (empty.exit_code, alone.exit_code) == (1, 2)
    assert "no slide found" in empty.stderr
    assert "--recursive goes with --slides" in alone.stderr


def test_a_slide_that_nothing_can_be_read_of_is_given_up_and_the_others_are_not(tmp_path: Path):
    paths = [paint(tmp_path / f"{stem}.svs") for stem in ("a", "b", "stuck")]
    found = discover([tmp_path])
    paths[2].unlink()
    os.mkfifo(paths[2])  # who opens it waits for a writer that never comes

    slides = survey_slides(found, seconds=9.0).slides

    assert [(slide.stem, str(slide.state)) for slide in slides] == [("stuck", "refused"), ("a", "fine"), ("b", "fine")]
    assert slides[0].remarks[0].startswith("looking at it took longer than 9 s, so that it was given up; ")


def kill_once_lent(process: IsolatedProcess, child: int) -> None:
    """Kill a process that is stopped once somebody is to ask it: one that is dead before that is lent to nobody."""
    until("it is lent", lambda: process in leases._lent)
    os.kill(child, signal.SIGKILL)


def test_a_reader_that_ends_its_process_costs_one_slide(tmp_path: Path):
    paint(tmp_path / "a.svs")
    [source] = discover([tmp_path]).sources
    assert survey_in_time(source, Slides(), SECONDS).state is SurveyState.FINE
    process = lend_process()
    child = process.call(os.getpid)
    return_process(process)
    os.kill(child, signal.SIGSTOP)
    Thread(target=kill_once_lent, args=(process, child)).start()

    crashed, again = survey_in_time(source, Slides(), SECONDS), survey_in_time(source, Slides(), SECONDS)

    assert crashed.remarks[0].startswith("killed by signal 9, SIGKILL, while it was looked at, so that it was given")
    assert again.state is SurveyState.FINE


def test_folders_below_and_a_table_of_scales_count_where_they_are_asked_for(tmp_path: Path):
    (tmp_path / "below").mkdir()
    paint(tmp_path / "below" / "a.tif", mpp=None)
    (tmp_path / "mpp.csv").write_text("wsi,mpp\na,0.5\n")
    result = survey(tmp_path, "--recursive", "--mpp-csv", tmp_path / "mpp.csv")

    assert result.exit_code == 0, result.output
    assert "mpp csv" in result.stdout


def test_columns_that_do_not_fit_lose_the_middle_of_the_widest():
    fitted = columns([("a" * 30, "b"), ("c", "d" * 8)], "  ", 30)
    assert fitted == [f"  {'a' * 9}…{'a' * 8}  b", f"  c{' ' * 17}  {'d' * 8}"]
    assert columns([("a" * 30, "b")]) == [f"{'a' * 30}  b"]


def test_a_long_name_loses_its_middle():
    assert cut("abcdefghij", 10) == "abcdefghij"
    assert cut("abcdefghijk", 10) == "abcde…hijk"

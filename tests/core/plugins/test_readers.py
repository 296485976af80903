"""A reader of a plugin file, as people write it: found, run apart, and part of the fingerprint of its own slides."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from extensions import encode_with, line_of, states, write_extension
from painting import stain, white
from tracked_folders import paint

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.consent import executing_nothing
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.errors import InvalidProject, UnknownName, UnreadableSlide
from atlaspatch_core.isolation.leases import lend_process, return_process
from atlaspatch_core.plugins.in_use import use_plugins
from atlaspatch_core.slides.readers import READERS, all_readers, reader_suffixes
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import make_recipe

PIXELS = stain(white(1024, 1024), 128, 128, 512, 768)


def save(folder: Path, *stems: str) -> None:
    folder.mkdir(exist_ok=True)
    for stem in stems:
        np.savez_compressed(folder / f"{stem}.npz", pixels=PIXELS, mpp=0.5)


def test_slides_of_a_plugin_are_found_and_a_changed_file_makes_them_stale_alone(tmp_path: Path):
    save(tmp_path / "slides", "a")
    paint(tmp_path / "slides", "b")
    plugin = write_extension(tmp_path, "arrays.py")
    result = encode_with(plugin, tmp_path)
    assert result.exit_code == 0, result.output
    slides = {stem: Store(tmp_path / "out").read_record(stem).slide for stem in "ab"}
    assert slides["a"].info.reader == "array"
    assert {"reader": "array", "plugin": slides["a"].info.plugin}.items() <= slides["a"].identity.spec.items()
    assert not {"reader", "plugin"} & slides["b"].identity.spec.keys()
    assert "2 reused" in encode_with(plugin, tmp_path).output
    assert states(tmp_path, "slide") == {"a": "fresh", "b": "fresh"}

    write_extension(tmp_path, "arrays.py", ("# RGB", "# Red, green, blue:"))
    assert states(tmp_path, "slide") == {"a": "stale", "b": "fresh"}
    assert states(tmp_path, "patch_features/tiny") == {"a": "stale", "b": "fresh"}
    assert "1 computed, 1 reused" in encode_with(plugin, tmp_path).output
    assert states(tmp_path, "patch_features/tiny") == {"a": "fresh", "b": "fresh"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "killed by signal 11, SIGSEGV, while it was opened"),
        ("1 / 0", "the reader array of a plugin fails (ZeroDivisionError: division by zero, at "),
        ("raise SystemExit(3)", "the reader array of a plugin fails (SystemExit: 3, at "),
        ("return 3", "the reader array of a plugin opens a int without SlideInfo; correct the plugin"),
    ],
)
def test_a_reader_that_fails_costs_its_slide_alone(tmp_path: Path, line: str, said: str):
    save(tmp_path / "slides", "a", "b")
    text = f"    if path.stem == 'a':\n        {line}\n    archive = "
    plugin = write_extension(tmp_path, "arrays.py", ("    archive = ", text))
    result = encode_with(plugin, tmp_path)
    assert result.exit_code == 1
    assert said in result.output, result.output
    assert ("fails (" not in said) or f"at {plugin}, line {line_of(plugin, line)}" in result.output
    assert Store(tmp_path / "out").h5("b").exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("part.missing", "fails (AttributeError: 'Window' object has no attribute 'missing', at "),
        ("pixels[:1]", "could not broadcast input array"),
        ("pixels / 255.0", "could not broadcast input array"),
    ],
)
def test_pixels_that_cannot_be_had_are_said_of_the_slide(tmp_path: Path, answer: str, said: str):
    save(tmp_path, "a")
    before = "pixels[part.top :, part.left :][: part.height, : part.width]"
    plugin = write_extension(tmp_path, "arrays.py", (before, answer))
    slide = ap.open_slide(tmp_path / "a.npz", plugins=[plugin])
    with slide, pytest.raises(UnreadableSlide) as error:
        slide.read_region(ap.Region(x=0, y=0, level=0, width=64, height=32))
    assert "a: the " in str(error.value)
    assert said in str(error.value)


def test_a_slide_of_a_plugin_opens_in_python_and_in_other_processes(tmp_path: Path):
    save(tmp_path, "a")
    with ap.open_slide(tmp_path / "a.npz", plugins=[write_extension(tmp_path, "arrays.py")]) as slide:
        assert (slide.info.reader, slide.dimensions, slide.mpp) == ("array", (1024, 1024), 0.5)
        region = ap.Region(x=100, y=120, level=0, width=64, height=32)
        assert np.array_equal(slide.read_region(region), PIXELS[120:152, 100:164])
        sent = pickle.dumps(slide)
    use_plugins([])
    with pickle.loads(sent) as again:
        assert np.array_equal(again.read_region(region), PIXELS[120:152, 100:164])


def test_a_reader_may_be_named_and_a_name_that_is_none_is_answered_with_all(tmp_path: Path):
    save(tmp_path / "slides", "a")
    (tmp_path / "slides" / "a.npz").rename(tmp_path / "slides" / "a.svs")
    plugin = write_extension(tmp_path, "arrays.py")
    assert encode_with(plugin, tmp_path, "--reader-type", "array").exit_code == 0
    wrong = encode_with(plugin, tmp_path, "--reader-type", "arrays")
    assert wrong.exit_code == 2
    assert "no reader is called 'arrays'; there are openslide" in wrong.output
    assert "cucim, array" in wrong.output
    with pytest.raises(InvalidProject, match="no reader is called 'array'"):
        make_project({"slides": {"reader": "array"}}, origin="test")


def test_what_looks_alone_finds_slides_by_the_text_of_a_plugin(tmp_path: Path):
    save(tmp_path / "slides", "a")
    plugin = write_extension(tmp_path, "arrays.py", ("READERS", f"open({str(tmp_path / 'executed')!r}, 'w')\nREADERS"))
    slides = {"folders": [tmp_path / "slides"], "reader": "array"}
    project = make_project({"slides": slides, "plugins": [plugin], "output": tmp_path / "out"}, origin="test")
    with executing_nothing():
        assert [source.stem for source in find_slides(project).sources] == ["a"]
        assert make_recipe(project).project is project
        assert "array" not in all_readers()
    assert not (tmp_path / "executed").exists()


def test_a_suffix_that_is_foreign_to_us_is_free_for_a_plugin(tmp_path: Path):
    save(tmp_path, "a")
    (tmp_path / "a.npz").rename(tmp_path / "a.vsi")
    with pytest.raises(UnreadableSlide, match="Olympus VSI, which no reader opens"):
        ap.open_slide(tmp_path / "a.vsi")
    plugin = write_extension(tmp_path, "arrays.py", (".npz", ".vsi"))
    with ap.open_slide(tmp_path / "a.vsi", plugins=[plugin]) as slide:
        assert slide.info.reader == "array"


@pytest.mark.quick
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"array", (', '"TIFF", ('), "declares TIFF, and there is a reader of that name; rename it"),
        (('(".npz",)', '(".NPZ",)'), "the reader array of a plugin has the suffix '.NPZ'; write it in lower case"),
        (
            ('READERS = [Reader("array"', 'READERS = [str, Reader("array"'),
            "declares <class 'str'> in READERS, which is",
        ),
    ],
)
def test_a_reader_that_cannot_be_one_is_refused(tmp_path: Path, change: tuple[str, str], said: str):
    project = make_project({"plugins": [write_extension(tmp_path, "arrays.py", change)]}, origin="test")
    with pytest.raises(InvalidProject, match=said):
        make_recipe(project)
    use_plugins([])


@pytest.mark.quick
def test_plugins_of_another_project_count_no_more(tmp_path: Path):
    plugin = write_extension(tmp_path, "arrays.py")
    use_plugins([plugin])
    assert list(all_readers()) == [*READERS, "array"]
    assert ".npz" in reader_suffixes()
    use_plugins([])
    assert all_readers() is READERS
    with pytest.raises(UnknownName, match="no reader is called"):
        make_recipe(make_project({"slides": {"reader": "other"}, "plugins": [plugin]}, origin="test"))
    use_plugins([])


def test_an_installed_package_brings_a_reader_to_commands_that_name_none(tmp_path: Path, monkeypatch):
    save(tmp_path / "slides", "a")
    site = tmp_path / "site"
    site.mkdir()
    write_extension(site, "arrays.py").rename(site / "arrays_of_a_test.py")
    metadata = site / "arrays_of_a_test-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: arrays-of-a-test\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[atlaspatch.plugins]\narrays = arrays_of_a_test\n")
    use_plugins([])
    return_process(lend_process())  # one that waits knows nothing of the package
    monkeypatch.syspath_prepend(str(site))
    result = CliRunner().invoke(cli, ["doctor", "--slides", str(tmp_path / "slides")])
    assert result.exit_code == 0, result.output
    assert "array" in result.output


def test_a_reader_is_tried_by_inspect_and_doctor_where_its_file_is_typed(tmp_path: Path):
    save(tmp_path / "slides", "a")
    plugin = write_extension(tmp_path, "arrays.py")
    words = ["inspect", str(tmp_path / "slides" / "a.npz"), "--json"]
    inspected = CliRunner().invoke(cli, [*words, "--plugin", str(plugin)])
    assert json.loads(inspected.stdout)["taken"]["reader"] == "array"
    assert CliRunner().invoke(cli, words).exit_code == 1
    survey = CliRunner().invoke(cli, ["doctor", "--slides", str(tmp_path / "slides"), "--plugin", str(plugin)])
    assert (survey.exit_code, "1 fine" in survey.output) == (0, True), survey.output
    alone = CliRunner().invoke(cli, ["doctor", "--plugin", str(plugin)])
    assert "--feature-plugin goes with --slides" in alone.output


def test_what_looks_alone_says_that_a_plugin_reads_the_slides(tmp_path: Path):
    save(tmp_path / "slides", "a", "b")
    plugin = write_extension(tmp_path, "arrays.py")
    geometry = "[[geometry]]\npatch_size = 256\ntarget_mag = 20\n"
    text = f"output = 'out'\nplugins = ['{plugin}']\n[slides]\nfolders = ['slides']\n{geometry}"
    (tmp_path / "atlaspatch.toml").write_text(text)
    assert encode_with(plugin, tmp_path).exit_code == 0
    project = ("--project", str(tmp_path / "atlaspatch.toml"))
    assert (
        "2 slides read by a plugin, which is not executed here" in CliRunner().invoke(cli, ["doctor", *project]).output
    )
    audit = CliRunner().invoke(cli, ["audit", *project, str(tmp_path / "out")])
    assert "slide_unreadable" not in audit.output

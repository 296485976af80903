"""Slides in a bucket give what the same slides give on a disk, and no more travels than is needed."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from bucket import BUCKET, giving_up_after, running_web
from click.testing import CliRunner, Result
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER, plugin_file
from slide_kinds import KINDS, paint_kind, write_scales

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import load_project, make_project
from atlaspatch_core.discovery.find import discover, find_slides
from atlaspatch_core.errors import InvalidProject, UnreadableSlide
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.slides.local_copy import REMOTE_COPIES
from atlaspatch_core.slides.readers import open_slide

URL = f"s3://{BUCKET}/cohort"
OF_PLACE_AND_TIME = {"wsi_path", "creation_date", "created_at", "sha256_of_attributes"}


@pytest.fixture(autouse=True)
def no_copies() -> Iterator[None]:
    """Begin without copies, and leave none."""
    REMOTE_COPIES.clear()
    yield
    REMOTE_COPIES.clear()


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A folder with a slide of some 10 MB, a tenth of it tissue."""
    folder = tmp_path_factory.mktemp("large")
    pixels = np.random.default_rng(0).integers(200, 256, (3072, 4096, 3), np.uint8)
    paint_slide(folder / "large.svs", stain(pixels, 512, 512, 1024, 1024), compression="jpeg", objective_power=20)
    assert (folder / "large.svs").stat().st_size > 6_000_000
    return folder


def encode(source: Path | str, output: Path, *more: str) -> Result:
    words = ["encode-slide", str(source), "--output", str(output), "--feature-plugin", str(plugin_file(TINY_ENCODER))]
    geometry = ["--patch-encoders", "tiny", "--patch-size", "64", "--target-mpp", "0.5", "--device", "cpu"]
    return CliRunner().invoke(cli, [*words, *geometry, *more])


def results(output: Path) -> dict[str, object]:
    """Return all that a run made of slides, but for what tells where and when."""
    made: dict[str, object] = {}
    for file in sorted(output.rglob("*")):
        name = file.relative_to(output).as_posix()
        if file.suffix == ".h5":
            with h5py.File(file) as stored:
                made |= _attributes(name, stored)
                items: list[tuple[str, h5py.Group | h5py.Dataset]] = []
                stored.visititems(lambda at, item, items=items: items.append((at, item)))
                for at, item in items:
                    made |= _of_item(f"{name}/{at}", item)
        elif file.suffix in (".geojson", ".jpg", ".png") and ".remote" not in file.parts:
            made[name] = file.read_bytes()
    return made


def _of_item(name: str, item: h5py.Group | h5py.Dataset) -> dict[str, object]:
    values = {name: (item.dtype.str, item.shape, item[()].tobytes())} if isinstance(item, h5py.Dataset) else {}
    return values | _attributes(name, item)


def _attributes(name: str, item: h5py.Group | h5py.Dataset) -> dict[str, object]:
    return {f"{name}@{key}": str(value) for key, value in item.attrs.items() if key not in OF_PLACE_AND_TIME}


def test_a_slide_gives_what_it_gives_on_a_disk_and_only_its_tissue_travels(bucket, large, tmp_path):
    bucket.put_folder(large, "cohort")
    assert encode(large, tmp_path / "local").exit_code == 0
    outcome = encode(URL, tmp_path / "remote")
    assert outcome.exit_code == 0, outcome.output
    assert results(tmp_path / "remote") == results(tmp_path / "local") != {}
    assert bucket.faults.bytes_sent < 0.6 * (large / "large.svs").stat().st_size
    with h5py.File(next((tmp_path / "remote").rglob("*.h5"))) as file:
        assert file.attrs["wsi_path"] == f"{URL}/large.svs"


def test_what_was_made_of_the_same_slide_on_a_disk_is_reused(bucket, large, tmp_path):
    assert encode(large, tmp_path / "out").exit_code == 0
    bucket.put_folder(large, "cohort")
    assert "1 reused" in encode(URL, tmp_path / "out").output
    sent = bucket.faults.bytes_sent
    assert "1 reused" in encode(URL, tmp_path / "out").output
    assert bucket.faults.bytes_sent - sent < 2_000


def test_results_do_not_depend_on_where_the_output_folder_lies(bucket, large, tmp_path):
    bucket.put_folder(large, "cohort")
    assert encode(URL, tmp_path / "one").exit_code == 0
    shutil.move(tmp_path / "one", tmp_path / "two")
    sent = bucket.faults.bytes_sent
    assert "1 reused" in encode(URL, tmp_path / "two").output
    assert bucket.faults.bytes_sent - sent < 2_000


def test_a_slow_store_that_refuses_and_breaks_off_changes_nothing(bucket, large, tmp_path):
    bucket.put_folder(large, "cohort")
    assert encode(large, tmp_path / "local").exit_code == 0
    bucket.faults.seconds, bucket.faults.refused, bucket.faults.cut = 0.02, 0.15, 0.15
    outcome = encode(URL, tmp_path / "remote")
    assert outcome.exit_code == 0, outcome.output
    assert results(tmp_path / "remote") == results(tmp_path / "local")


def test_every_kind_of_slide_gives_what_it_gives_on_a_disk(bucket, tmp_path):
    folder = tmp_path / "slides"
    for number, kind in enumerate(KINDS):
        paint_kind(folder, f"slide{number}", kind)
    scales = write_scales(tmp_path, [f"slide{number}" for number in range(len(KINDS))])
    bucket.put_folder(folder, "cohort")
    for source, output in ((folder, "local"), (URL, "remote")):
        outcome = encode(source, tmp_path / output, "--mpp-csv", str(scales))
        assert f"{len(KINDS)} slides: {len(KINDS)} computed" in outcome.output
    assert results(tmp_path / "remote") == results(tmp_path / "local")


def test_a_replaced_object_is_worked_on_anew_and_one_that_is_gone_is_left_out(bucket, large, tmp_path):
    folder, output = tmp_path / "slides", tmp_path / "out"
    folder.mkdir()
    for stem in ("a", "b"):
        paint_slide(folder / f"{stem}.svs", stain(white(512, 512), 64, 64, 256, 256), objective_power=20)
    bucket.put_folder(folder, "cohort")
    assert "2 slides: 2 computed" in encode(URL, output).output
    paint_slide(folder / "a.svs", stain(white(512, 512), 128, 128, 256, 256), objective_power=20)
    bucket.put("cohort/a.svs", (folder / "a.svs").read_bytes())
    assert "2 slides: 1 computed, 1 reused" in encode(URL, output).output
    bucket.remove("cohort/b.svs")
    assert "1 slide: 0 computed, 1 reused" in encode(URL, output).output


def test_a_store_that_is_gone_ends_the_run_in_one_sentence_and_loses_nothing(bucket, large, tmp_path):
    bucket.put_folder(large, "cohort")
    bucket.faults.gone = True
    with giving_up_after(2):
        outcome = encode(URL, tmp_path / "out")
    assert outcome.exit_code != 0
    assert f"{URL} cannot be read, its store does not answer as it should" in outcome.output
    bucket.faults.gone = False
    assert "1 computed" in encode(URL, tmp_path / "out").output


@pytest.mark.parametrize("requests", [2, 8, 20])
def test_a_store_that_goes_away_meanwhile_blames_no_slide_and_the_next_run_goes_on(bucket, large, tmp_path, requests):
    bucket.put_folder(large, "cohort")
    bucket.faults.gone_after = requests
    with giving_up_after(2):
        outcome = encode(URL, tmp_path / "out")
    assert outcome.exit_code != 0
    assert "its store does not answer as it should" in outcome.output
    assert "damaged" not in outcome.output
    bucket.faults.gone_after = math.inf
    assert "1 computed" in encode(URL, tmp_path / "out").output
    assert encode(large, tmp_path / "local").exit_code == 0
    assert results(tmp_path / "out") == results(tmp_path / "local")


def test_a_slide_larger_than_copies_may_be_is_refused_and_the_others_are_done(bucket, large, tmp_path):
    bucket.put_folder(large, "cohort")
    small = paint_slide(tmp_path / "small.svs", stain(white(512, 512), 64, 64, 256, 256), objective_power=20)
    bucket.put("cohort/small.svs", small.read_bytes())
    outcome = encode(URL, tmp_path / "out", "--remote-cache-gb", "0.005", "--remote-cache", str(tmp_path / "cache"))
    assert outcome.exit_code == 1
    assert "more than copies of slides may take (5,000,000); allow more (--remote-cache-gb)" in outcome.output
    assert "1 computed, 0 reused, 1 failed" in outcome.output


def test_copies_stay_within_their_budget_and_go(bucket, tmp_path):
    for stem in "abcdef":
        paint_slide(tmp_path / "one.svs", stain(white(1024, 512), 64, 64, 256, 256 + ord(stem)), objective_power=20)
        bucket.put(f"cohort/{stem}.svs", (tmp_path / "one.svs").read_bytes())
    size, cache = (tmp_path / "one.svs").stat().st_size, tmp_path / "cache"
    limit = ["--remote-cache-gb", str(2.5 * size / 1e9), "--remote-cache", str(cache)]
    outcome = encode(URL, tmp_path / "out", *limit)
    assert "6 slides: 6 computed" in outcome.output
    copies = [file for file in cache.rglob("*.svs") if file.is_file()]
    assert 0 < sum(file.stat().st_blocks * 512 for file in copies) <= 2.5 * size
    REMOTE_COPIES.clear()
    assert list(cache.iterdir()) == []


def test_a_placeholder_is_never_taken_for_a_slide(bucket, large, tmp_path):
    bucket.put_folder(large, "cohort")
    assert encode(URL, tmp_path / "out").exit_code == 0
    placeholder = RemotePlace("s3", BUCKET, "cohort/large.svs").placeholder(tmp_path / "out")
    assert placeholder.stat().st_blocks == 0
    with pytest.raises(UnreadableSlide, match=rf"stands for {URL}/large\.svs and holds nothing"):
        open_slide(placeholder)
    assert [source.stem for source in discover([placeholder.parent]).sources] == ["large"]


def test_what_people_read_names_the_object(bucket, large, tmp_path):
    bucket.put_folder(large, "cohort")
    assert encode(URL, tmp_path / "out").exit_code == 0
    texts = [file.read_text() for file in (tmp_path / "out").rglob("*.json") if ".index" not in file.parts]
    assert not [text for text in texts if f".remote/s3/{BUCKET}" in text]
    assert any(f"{URL}/large.svs" in json.dumps(json.loads(text)) for text in texts)


@pytest.mark.parametrize("missing", ["obstore", "obstore.store"])
def test_a_bucket_without_the_package_is_refused_with_its_name(bucket, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    from atlaspatch_core.remote.store import open_store

    open_store.cache_clear()
    outcome = encode(URL, tmp_path / "out")
    open_store.cache_clear()
    assert outcome.exit_code != 0
    assert "pip install 'atlaspatch[remote]'" in outcome.output


def test_objects_whose_keys_can_be_no_path_are_left_out_with_the_reason(bucket, tmp_path):
    slide = paint_slide(tmp_path / "good.svs", stain(white(512, 512), 64, 64, 256, 256), objective_power=20)
    for key in ("good.svs", f"{'x' * 300}.svs"):
        bucket.put(f"cohort/{key}", slide.read_bytes())
    outcome = encode(URL, tmp_path / "out")
    assert "1 slide: 1 computed" in outcome.output
    assert "xx.svs is left out: its key can be no path; rename it" in outcome.output
    assert {file.name for file in (tmp_path / "out" / ".remote").rglob("*") if file.is_file()} == {"good.svs"}


def test_a_key_that_breaks_the_list_is_told_with_a_cure(bucket, tmp_path):
    bucket.put("cohort/sub//deeper.svs", b"any")
    outcome = encode(URL, tmp_path / "out")
    assert outcome.exit_code == 1
    assert "rename it, or name a folder beside it" in outcome.output


def test_a_folder_of_a_web_server_gives_what_the_folder_gives(large, tmp_path):
    site = tmp_path / "site" / "a cohort"
    site.mkdir(parents=True)
    shutil.copy(large / "large.svs", site / "a slide.svs")
    (site / "notes.txt").write_text("no slide")
    (site / "below").mkdir()
    paint_slide(site / "below" / "b.svs", stain(white(512, 512), 64, 64, 256, 256), objective_power=20)
    with running_web(tmp_path / "site") as url:
        outcome = encode(f"{url}/a cohort/", tmp_path / "remote", "--recursive")
        assert "2 slides: 2 computed" in outcome.output
        one = encode(f"{url}/a cohort/a slide.svs", tmp_path / "one")
        assert "1 slide: 1 computed" in one.output
        missing = encode(f"{url}/nowhere/", tmp_path / "none")
        assert missing.exit_code == 1
        assert "nowhere is not there; check the URL" in missing.output
    assert encode(site, tmp_path / "local", "--recursive").exit_code == 0
    assert results(tmp_path / "remote") == results(tmp_path / "local")


def test_patterns_and_lists_name_objects_of_a_bucket(bucket, tmp_path):
    slide = paint_slide(tmp_path / "a.svs", stain(white(512, 512), 64, 64, 256, 256), objective_power=20)
    for key in ("a.svs", "b.svs", "deep/c.svs", "deep/d.tif"):
        bucket.put(f"cohort/{key}", slide.read_bytes())
    assert "3 slides: 3 computed" in encode(f"s3://{BUCKET}/**/*.svs", tmp_path / "pattern").output
    table = tmp_path / "list.csv"
    table.write_text("wsi\nb.svs\ndeep/c.svs\n")
    assert "2 slides: 2 computed" in encode(URL, tmp_path / "list", "--custom-list-of-wsis", str(table)).output
    assert "1 slide: 1 computed" in encode(f"{URL}/b.svs", tmp_path / "one").output


def test_slides_of_a_bucket_have_pseudonyms(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    slide = paint_slide(tmp_path / "a.svs", stain(white(512, 512), 64, 64, 256, 256), objective_power=20)
    bucket.put("cohort/jane_doe.svs", slide.read_bytes())
    table = tmp_path / "names.csv"
    table.write_text("slide,pseudonym\njane_doe,p1\n")
    outcome = encode(URL, tmp_path / "out", "--pseudonyms", str(table))
    assert "p1: mask with" in outcome.output
    assert "jane" not in outcome.output
    made = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert [file for file in made if b"jane" in file.read_bytes() or "jane" in file.name] == []
    assert [file.name for file in (tmp_path / "xdg").rglob("jane_doe.svs")] == ["jane_doe.svs"]
    assert {folder.stat().st_mode & 0o77 for folder in (tmp_path / "xdg").iterdir()} == {0}
    assert "1 reused" in encode(URL, tmp_path / "out", "--pseudonyms", str(table)).output


def test_looking_at_a_slide_of_a_bucket_needs_no_output_folder(bucket, large, tmp_path):
    bucket.put_folder(large, "cohort")
    inspected = CliRunner().invoke(cli, ["inspect", f"{URL}/large.svs", "--json"])
    values = json.loads(inspected.stdout)
    assert (inspected.exit_code, values["path"], values["taken"]["mpp"]) == (0, f"{URL}/large.svs", 0.5)
    surveyed = CliRunner().invoke(cli, ["doctor", "--slides", URL])
    assert surveyed.exit_code == 0
    assert "1 slide: 0 refused" in surveyed.output
    assert bucket.faults.bytes_sent < 0.5 * (large / "large.svs").stat().st_size
    lost = CliRunner().invoke(cli, ["inspect", f"{URL}/lost.svs"])
    assert (lost.exit_code, lost.output.count("\n")) == (1, 1)


def test_the_batch_command_takes_a_bucket_and_its_cache_for_copies(bucket, large, tmp_path):
    bucket.put_folder(large, "cohort")
    words = ["run", "--wsi_dir", URL, "--job_dir", str(tmp_path / "job"), "--task", "coords", "--segmenter", "otsu"]
    outcome = CliRunner().invoke(cli, [*words, "--wsi_cache", str(tmp_path / "cache"), "--mag", "20"])
    assert outcome.exit_code == 0, outcome.output
    assert len(list((tmp_path / "job").rglob("patches/large.h5"))) == 1
    assert len([file for file in (tmp_path / "cache").rglob("large.svs") if file.is_file()]) == 1


def test_a_project_file_names_a_bucket_and_urls_are_no_paths_of_this_machine(bucket, large, tmp_path, monkeypatch):
    bucket.put_folder(large, "cohort")
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli, ["init", "--slides", URL]).exit_code == 0
    text = (tmp_path / "atlaspatch.toml").read_text()
    assert f'folders = ["{URL}"]' in text
    project = load_project(tmp_path / "atlaspatch.toml")
    assert [source.stem for source in find_slides(project).sources] == ["large"]
    for wrong in (["init", URL], ["encode-slide", str(large), "--output", URL, "--patch-encoders", "tiny"]):
        outcome = CliRunner().invoke(cli, wrong)
        assert (outcome.exit_code, f"{URL} is in an object store" in outcome.output) == (2, True)
    with pytest.raises(InvalidProject, match=rf"output: {URL} is in an object store, and this is a path of this"):
        make_project({"output": URL}, origin="test")
    assert not (tmp_path / "s3:").exists()

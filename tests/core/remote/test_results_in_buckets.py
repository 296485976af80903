"""Results go to a bucket whole and come back, whatever fails in between."""

import json
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from threading import Thread
from uuid import uuid4

import pytest
from bucket import BUCKET, giving_up_after, running_web
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER, plugin_file
from processes import start_cli
from rounds import examples
from waiting import until

from atlaspatch_core.cli.main import cli
from atlaspatch_core.errors import WrongObject
from atlaspatch_core.operations.transfer.contents import FileContent, check_object
from atlaspatch_core.operations.transfer.download import download_results
from atlaspatch_core.operations.transfer.files import list_output, rank, stem_of_result
from atlaspatch_core.operations.transfer.manifest import MANIFEST, STAGED_FOLDER
from atlaspatch_core.operations.transfer.upload import upload_results
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.store import SECONDS_VARIABLE, head_object
from atlaspatch_core.storage.atomic import slide_lock

URL = f"s3://{BUCKET}/results"
H5 = "patches/a.h5"


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def values_of(*words: object) -> dict:
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def encode(slides: Path, output: Path) -> str:
    plugin = [
        "--feature-plugin",
        plugin_file(TINY_ENCODER),
        "--patch-encoders",
        "tiny",
        "--slide-encoders",
        "mean-tiny",
    ]
    geometry = ["--patch-size", "64", "--target-mpp", "0.5", "--device", "cpu", "--visualize-grids"]
    return call("encode-slide", slides, "--output", output, *plugin, *geometry).output


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with two slides and their results."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "slides").mkdir()
    for number, stem in enumerate(("a", "a_b")):
        pixels = stain(white(512, 512), 64, 64, 256, 192 + 64 * number)
        paint_slide(folder / "slides" / f"{stem}.svs", pixels, objective_power=20)
    assert "2 computed" in encode(folder / "slides", folder / "output")
    (folder / "output" / "atlaspatch.toml").write_text('output = "."\n')
    return folder


@pytest.fixture
def lab(prepared, tmp_path, bucket) -> Path:
    shutil.copytree(prepared, tmp_path / "lab")
    return tmp_path / "lab"


def contents(output: Path) -> dict[str, tuple[bytes, int]]:
    """Return bytes and time of change of all that travels."""
    paths = list_output(output).travelling
    return {path: ((output / path).read_bytes(), (output / path).stat().st_mtime_ns) for path in paths}


def manifest_of(bucket) -> dict[str, dict]:
    return json.loads(bucket.content(f"results/{MANIFEST}"))["files"]


def check_manifest(bucket) -> None:
    """Every file that the manifest names is there, with the content that it says."""
    for path, entry in manifest_of(bucket).items():
        content = bucket.content(f"results/{entry.get('key', path)}")
        assert (len(content), sha256(content).hexdigest()) == (entry["size"], entry["sha256"]), path


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file as runs do."""
    temporary = path.with_name(f".{path.stem}.{uuid4().hex}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def test_results_go_whole_and_are_reused_on_another_machine(bucket, lab, tmp_path):
    output, copy = lab / "output", tmp_path / "copy"
    before = contents(output)
    assert {H5, "slides/a.json", "contours_geojson/a.geojson", "atlaspatch.toml"} <= before.keys()
    sent = values_of("upload", output, URL)
    assert (sorted(sent["sent"]), sent["unchanged"]) == (sorted(before), 0)
    assert sent["bytes_sent"] == sum(len(content) for content, _ in before.values())
    assert bucket.listed_keys() == sorted(f"results/{path}" for path in (*before, MANIFEST))
    check_manifest(bucket)
    assert sorted(values_of("download", URL, copy)["fetched"]) == sorted(before)
    assert contents(copy) == before
    assert "2 slides: 0 computed, 2 reused" in encode(lab / "slides", copy)


def test_what_stays_on_the_machine_is_not_sent(lab):
    for folder in (".index", ".remote/s3/a"):
        (lab / "output" / folder).mkdir(parents=True)
        (lab / "output" / folder / "a.json").touch()
    files = list_output(lab / "output")
    others = {file.relative_to(lab / "output").as_posix() for file in (lab / "output").rglob("*") if file.is_file()}
    assert {PurePosixPath(path).parts[0] for path in others.difference(files.travelling)} == {
        ".locks",
        ".index",
        ".remote",
    }
    (lab / "output" / "patches" / f".a.{'0' * 32}.tmp").touch()
    shutil.copy(lab / "slides" / "a.svs", lab / "output" / "a.svs")
    again = list_output(lab / "output")
    assert (again.travelling, again.slides) == (files.travelling, 1)


def test_a_second_upload_sends_only_what_changed(bucket, lab):
    output = lab / "output"
    before = contents(output)
    values_of("upload", output, URL)
    again = values_of("upload", output, URL)
    assert (again["sent"], again["unchanged"]) == ([], len(before))
    bucket.put("results/notes.txt", b"of somebody else")
    replace_file(output / H5, b"other")
    (output / "summary.md").unlink(missing_ok=True)
    (output / "contours" / "a.jpg").unlink()
    (output / "added.txt").write_text("added")
    third = values_of("upload", output, URL)
    assert sorted(third["sent"]) == ["added.txt", H5]
    assert "contours/a.jpg" in third["objects_removed"]
    assert bucket.content(f"results/{H5}") == b"other"
    assert {path: entry.get("key") for path, entry in manifest_of(bucket).items()} == dict.fromkeys(contents(output))
    assert bucket.listed_keys() == sorted(f"results/{path}" for path in (*contents(output), MANIFEST, "notes.txt"))


def test_objects_that_were_lost_or_cut_are_sent_again(bucket, lab):
    values_of("upload", lab / "output", URL)
    bucket.remove("results/slides/a.json")
    bucket.put(f"results/{H5}", b"cut")
    assert sorted(values_of("upload", lab / "output", URL)["sent"]) == [H5, "slides/a.json"]
    check_manifest(bucket)


def test_an_object_of_somebody_else_is_not_replaced(bucket, lab):
    bucket.put(f"results/{H5}", b"of somebody else")
    result = call("upload", lab / "output", URL)
    assert result.exit_code == 1
    assert f"{URL}/{H5} is an object that no upload put there" in result.output
    assert bucket.content(f"results/{H5}") == b"of somebody else"
    assert MANIFEST not in "".join(bucket.listed_keys())


def test_a_dry_run_changes_nothing(bucket, lab):
    result = call("upload", lab / "output", URL, "--dry-run")
    assert (result.exit_code, bucket.listed_keys()) == (0, [])
    assert H5 in result.output.splitlines()
    assert f"{len(contents(lab / 'output'))} would be sent" in result.output
    assert not (lab / "output" / ".uploads").exists()


def test_two_folders_add_to_one_place_and_lose_nothing_of_each_other(bucket, lab, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("one", "two"):
        (tmp_path / name / f"{name}.txt").write_text(name)
        values_of("upload", tmp_path / name, URL)
    assert manifest_of(bucket).keys() == {"one.txt", "two.txt"}
    values_of("download", URL, tmp_path / "one")
    replace_file(tmp_path / "two" / "two.txt", b"newer")
    values_of("upload", tmp_path / "two", URL)
    kept = values_of("upload", tmp_path / "one", URL)
    assert (kept["sent"], kept["newer"]) == ([], ["two.txt"])
    assert bucket.content("results/two.txt") == b"newer"
    assert values_of("download", URL, tmp_path / "one")["fetched"] == ["two.txt"]


def test_folders_that_are_uploaded_to_one_place_at_the_same_time_all_arrive(bucket, tmp_path):
    place = RemotePlace("s3", BUCKET, "results")
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        for name in ("common", f"own{number}"):
            (tmp_path / str(number) / name).write_text(f"{name} of {number}")
    with ThreadPoolExecutor(5) as pool:
        uploaded = list(pool.map(lambda number: upload_results(tmp_path / str(number), place), range(5)))
    assert manifest_of(bucket).keys() == {"common", *(f"own{number}" for number in range(5))}
    check_manifest(bucket)
    assert len(uploaded) == 5


def test_a_folder_that_cannot_be_listed_stops_an_upload(bucket, lab, monkeypatch):
    (lab / "output" / "patches").rename(lab / "output" / "away")
    (lab / "output" / "patches").symlink_to(lab / "output" / "away")
    assert "away/a.h5" in list_output(lab / "output").travelling
    refused = OSError(13, "Permission denied", "patches")
    monkeypatch.setattr(os, "scandir", lambda _: (_ for _ in ()).throw(refused))
    result = call("upload", lab / "output", URL)
    assert "patches: the folder cannot be listed (Permission denied)" in result.output
    assert (result.exit_code, bucket.listed_keys()) == (1, [])


def test_results_on_a_web_server_are_downloaded_too(lab, bucket, tmp_path):
    values_of("upload", lab / "output", URL)
    for key in bucket.listed_keys():
        path = tmp_path / "site" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.content(key))
    with running_web(tmp_path / "site") as url:
        values_of("download", f"{url}/results", tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(lab / "output")


def test_what_is_removed_here_stays_there_and_comes_back(bucket, lab):
    output = lab / "output"
    before = contents(output)
    with slide_lock(output, "a_b"):
        removed = values_of("upload", output, URL, "--remove")["removed"]
    assert {path for path in before if stem_of_result(path, {"a", "a_b"}) == "a_b"} | {"atlaspatch.toml"} == {
        path for path in before if (output / path).exists()
    }
    assert set(removed) == {path for path in before if not (output / path).exists()}
    assert values_of("upload", output, URL, "--remove")["objects_removed"] == []
    assert list(contents(output)) == ["atlaspatch.toml"]
    assert manifest_of(bucket).keys() == before.keys()
    values_of("download", URL, output)
    assert contents(output) == before
    assert "2 slides: 0 computed, 2 reused" in encode(lab / "slides", output)


def test_a_download_replaces_no_file_that_was_not_had_from_there(bucket, lab, tmp_path):
    output, copy = lab / "output", tmp_path / "copy"
    values_of("upload", output, URL)
    values_of("download", URL, copy)
    replace_file(output / H5, b"newer")
    values_of("upload", output, URL)
    assert values_of("download", URL, copy)["fetched"] == [H5]
    replace_file(copy / H5, b"edited")
    (copy / "slides" / "a.json").unlink()
    refused = call("download", URL, copy)
    assert refused.exit_code == 1
    assert f"{H5} would be replaced" in refused.output
    assert "--force" in refused.output
    assert not (copy / "slides" / "a.json").exists()
    assert sorted(values_of("download", URL, copy, "--force")["fetched"]) == [H5, "slides/a.json"]
    assert contents(copy) == contents(output)


def test_a_download_while_others_upload_gives_one_state(bucket, tmp_path):
    place, output, rounds = RemotePlace("s3", BUCKET, "results"), tmp_path / "output", 12
    states: list[set[bytes]] = []
    output.mkdir()
    (output / "a").write_text("0")
    upload_results(output, place)

    def upload_often() -> None:
        for number in range(1, 1000):
            if number >= rounds and len(states) > 1:
                return
            for name in ("a", "b", "c"):
                replace_file(output / name, b"%d" % number)
            upload_results(output, place)

    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(upload_often)
        while not uploading.done():
            download_results(place, tmp_path / "copy")
            states.append({content for content, _ in contents(tmp_path / "copy").values()})
    uploading.result()
    assert len(states) > 1
    assert [state for state in states if len(state) > 1] == []


def test_an_object_that_is_not_what_the_manifest_says_is_refused(bucket, lab, tmp_path):
    values_of("upload", lab / "output", URL)
    size = len(bucket.content(f"results/{H5}"))
    bucket.put(f"results/{H5}", b"x" * size)
    result = call("download", URL, tmp_path / "copy")
    assert result.exit_code == 1
    assert f"{URL}/{H5} is not what the manifest says" in result.output
    assert not (tmp_path / "copy" / H5).exists()
    assert not list((tmp_path / "copy").rglob("*.tmp"))


def test_a_manifest_cannot_write_outside_of_the_folder(bucket, tmp_path):
    entry = {"size": 1, "sha256": "0" * 64, "mtime_ns": 0}
    for path in ("../out.txt", "/etc/out", "a/../../b", ".locks/a.lock", "patches/.remote/a"):
        bucket.put(f"results/{MANIFEST}", json.dumps({"files": {path: entry}}).encode())
        assert "is no file of results" in call("download", URL, tmp_path / "copy").output
    bucket.put(f"results/{MANIFEST}", b"no json")
    assert "is no manifest of an upload" in call("download", URL, tmp_path / "copy").output


def test_what_is_wrong_is_said_with_a_cure(bucket, lab, tmp_path):
    (tmp_path / "empty").mkdir()
    for words, code, text in (
        (("upload", tmp_path / "empty", URL), 1, "there are no results to upload"),
        (("upload", lab / "output", "results"), 2, "is no URL of a bucket"),
        (("upload", lab / "output", "https://host/a"), 1, "a web server takes no files"),
        (("upload", lab / "output", "s3://nowhere/a"), 1, "check the URL"),
        (("download", f"{URL}/none", tmp_path / "copy"), 1, "upload results first"),
    ):
        result = call(*words)
        assert (result.exit_code, result.output.count("Traceback")) == (code, 0), result.output
        assert text in " ".join(result.output.split())
    assert not (tmp_path / "copy").exists()


def test_a_store_that_refuses_and_breaks_off_changes_nothing(bucket, lab, tmp_path):
    bucket.faults.refused, bucket.faults.cut, bucket.faults.seconds = 0.1, 0.1, 0.001
    values_of("upload", lab / "output", URL)
    values_of("download", URL, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(lab / "output")
    check_manifest(bucket)


def test_a_store_that_goes_away_at_any_moment_leaves_the_manifest_right(bucket, tmp_path):
    output = tmp_path / "output"
    for folder in ("patches", "slides"):
        (output / folder).mkdir(parents=True)

    def upload(number: int, requests: float = math.inf) -> Result:
        """Upload newer files to a store that goes away after so many requests."""
        replace_file(output / "patches" / "a.h5", b"content %d" % number)
        replace_file(output / "slides" / "a.json", b"{%d}" % number)
        bucket.faults.gone_after = bucket.faults.requests + requests
        result = call("upload", output, URL)
        bucket.faults.gone_after = math.inf
        assert (result.exit_code == 1) == ("its store does not answer as it should" in result.output), result.output
        check_manifest(bucket)
        return result

    assert upload(0).exit_code == 0
    with giving_up_after(0.2):
        results = [upload(number, number) for number in range(3, 34, 3)]
    assert results[0].exit_code == 1
    assert upload(34).exit_code == 0
    values_of("upload", output, URL)
    lasting = {key for key in bucket.listed_keys() if f"/{STAGED_FOLDER}/" not in key}
    assert lasting == {f"results/{path}" for path in (*contents(output), MANIFEST)}


def test_a_killed_upload_leaves_the_manifest_right_and_the_next_one_finishes(bucket, lab):
    values_of("upload", lab / "output", URL)
    for path in contents(lab / "output"):
        replace_file(lab / "output" / path, f"newer {path}".encode())
    former = manifest_of(bucket)
    last = bucket.faults.gone_after = bucket.faults.requests + 15
    with start_cli("upload", "output", URL, folder=lab, environment={SECONDS_VARIABLE: "600"}) as child:
        until("it asks for more", lambda: bucket.faults.requests > last or child.poll() is not None)
        assert child.poll() is None
        child.kill()
    until("the server is done", lambda: bucket.faults.in_hand <= 0)
    bucket.faults.gone_after = math.inf
    assert manifest_of(bucket) == former
    assert any(f"/{STAGED_FOLDER}/" in key for key in bucket.listed_keys())
    check_manifest(bucket)
    finished = values_of("upload", lab / "output", URL)
    assert finished["unchanged"] > 0
    assert not any(f"/{STAGED_FOLDER}/" in key for key in bucket.listed_keys())
    assert {path: content for path, (content, _) in contents(lab / "output").items()} == {
        path: bucket.content(f"results/{path}") for path in manifest_of(bucket)
    }


def test_a_file_that_is_replaced_while_it_travels_is_sent_as_it_was_opened(bucket, lab):
    output, stop = lab / "output", []

    def replace_often() -> None:
        while not stop:
            replace_file(output / H5, os.urandom(9 * 2**20))

    thread = Thread(target=replace_often)
    thread.start()
    try:
        result = call("upload", output, URL, "--remove")
    finally:
        stop.append(True)
        thread.join()
    assert result.exit_code == 0
    assert "1 changed meanwhile, which the next upload sends" in result.output
    assert (output / H5).exists()
    check_manifest(bucket)


def test_a_tag_that_is_no_hash_of_the_object_is_no_proof(bucket):
    """Stores that encrypt have such tags."""
    bucket.put("a", b"content")
    one = head_object(RemotePlace("s3", BUCKET, "a"))
    right = FileContent(7, sha256(b"content").hexdigest(), frozenset({"0" * 32}))
    assert not right.is_object(one)
    check_object(one, right)
    with pytest.raises(WrongObject, match="does not hold the bytes of its file"):
        check_object(one, replace(right, sha256="0" * 64))
    with pytest.raises(WrongObject, match="has 7 bytes and its file 8"):
        check_object(one, replace(right, size=8))


def test_records_travel_after_what_they_point_to():
    paths = [
        "contours_geojson/a.geojson",
        "x/patches/a.h5",
        "x/patient_features/e/1.h5",
        "slides/a.json",
        "runs/1.json",
    ]
    assert [rank(path) for path in paths] == [0, 1, 2, 3, 4]


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=9
)
FOLDERS = st.sampled_from(["patches", "slides", "x/patches", ".locks", ".index", "images/a", "", "patches/.remote/s3"])
FILES = st.dictionaries(st.tuples(FOLDERS, NAMES), st.binary(max_size=40), min_size=1, max_size=6)


@given(before=FILES, after=FILES)
@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_upload_and_download_give_back_what_travels(bucket, tmp_path_factory, before, after):
    bucket.clear()
    folder = tmp_path_factory.mktemp("property")
    for files in (before, after):
        for (where, name), content in files.items():
            path = folder / "output" / where / name
            if name not in (".", "..") and not path.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(path, content)
        listed = list_output(folder / "output")
        result = call("upload", folder / "output", URL)
        assert result.exit_code == (1 if listed.unusable or not listed.travelling else 0), result.output
        if listed.travelling:
            values_of("download", URL, folder / "copy")
            assert contents(folder / "copy") == contents(folder / "output")

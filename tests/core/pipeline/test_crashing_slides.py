"""A slide that crashes its reader, by real signals, fails alone, is noted, and is tried last."""

import json
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from crashing import opened_stems, write_plugin
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from processes import run_cli
from rounds import examples

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.crash_notes import read_crash_notes
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import Recipe, make_recipe

STEMS = ("a", "b", "c")
SIGNALS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGKILL)
PLACES = {"open": "while it was opened", "read": "while its pixels were read", "decode": "while its pixels were read"}


@pytest.fixture(scope="module")
def slides(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for number, stem in enumerate(STEMS):
        paint_slide(folder / f"{stem}.svs", stain(white(2048, 2048), 0, 0, 2048, 1024 + 512 * number))
    return folder


@pytest.fixture(scope="module")
def whole(slides, tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """What is made of the slides where none crashes."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = recipe_of(folder, {})
    assert {outcome.status for outcome in process(sources(slides), recipe)} == {Status.COMPUTED}
    return results(folder / "out")


def sources(slides: Path) -> list[SlideSource]:
    return [SlideSource(stem, slides / f"{stem}.svs") for stem in STEMS]


def recipe_of(folder: Path, crashes: dict[str, tuple[str, int, int]], output: Path | None = None) -> Recipe:
    geometry = {"patch_size": 256, "target_mag": 20, "min_tissue": 0.5, "slide_encoders": ("mean-tiny",)}
    values = {
        "output": output or folder / "out",
        "geometry": (geometry,),
        "plugins": (write_plugin(folder, crashes),),
        "runtime": {"device": "cpu", "threads": 1, "read_workers": 2, "feature_batch_size": 16},
    }
    return make_recipe(make_project(values, origin="test"))


def results(output: Path) -> dict[str, dict[str, bytes]]:
    """Return stem to the bytes of its coords, features, embeddings and mask."""
    made: dict[str, dict[str, bytes]] = {}
    for path in sorted(output.glob("patches/*.h5")):
        with h5py.File(path) as file:
            names = [name for name in ("coords", "features/tiny", "slide_features/mean-tiny") if name in file]
            made[path.stem] = {name: file[name][()].tobytes() for name in names}  # pyright: ignore
        made[path.stem]["mask"] = (output / "contours_geojson" / f"{path.stem}.geojson").read_bytes()
    return made


def failed(outcomes: list[Outcome]) -> Iterator[Outcome]:
    return (outcome for outcome in outcomes if outcome.status is Status.FAILED)


def others(made: dict[str, dict[str, bytes]], stem: str) -> dict[str, dict[str, bytes]]:
    return {name: arrays for name, arrays in made.items() if name != stem}


@pytest.mark.e2e
@given(
    stem=st.sampled_from(STEMS),
    place=st.sampled_from(sorted(PLACES)),
    count=st.integers(0, 1),
    number=st.sampled_from(SIGNALS),
)
@examples(3)
def test_a_crash_costs_one_slide_and_the_next_run_tries_it_last(slides, whole, stem, place, count, number):
    with tempfile.TemporaryDirectory() as folder:
        count = 0 if place == "open" else count
        recipe = recipe_of(Path(folder), {stem: (place, count, int(number))})
        first = list(process(sources(slides), recipe))
        again = list(process(sources(slides), recipe))

        for times, outcomes in enumerate((first, again), 1):
            [culprit] = failed(outcomes)
            assert culprit.stem == stem
            assert (
                f"{stem}: killed by signal {int(number)}, {number.name}, {PLACES[place]} ({times} time" in culprit.why
            )
            assert {outcome.status for outcome in outcomes if outcome.stem != stem} <= {
                Status.COMPUTED if outcomes is first else Status.REUSED
            }
        assert others(results(Path(folder) / "out"), stem) == others(whole, stem)
        assert opened_stems(Path(folder)) == [*STEMS, stem]
        assert again[-1].stem == stem
        assert not list(Path(folder).rglob("*.tmp"))
        assert not [lock for lock in Path(folder).rglob("*.lock") if lock.stat().st_size]


def test_a_slide_that_is_read_to_its_end_or_replaced_is_noted_no_more(slides, whole, tmp_path):
    list(process(sources(slides), recipe_of(tmp_path, {"a": ("open", 0, 11)})))
    store = Store(tmp_path / "out")
    note = read_crash_notes(store)["a"]
    assert (note.times, note.last) == (1, "killed by signal 11, SIGSEGV, while it was opened")
    (tmp_path / "mended").mkdir()
    recipe = recipe_of(tmp_path / "mended", {}, tmp_path / "out")
    assert {outcome.status for outcome in process(sources(slides), recipe)} == {Status.COMPUTED, Status.REUSED}
    assert read_crash_notes(store) == {}
    assert results(tmp_path / "out") == whole


def test_a_crash_while_it_is_closed_keeps_what_was_made_and_is_noted(slides, whole, tmp_path, caplog):
    outcomes = list(process(sources(slides), recipe_of(tmp_path, {"b": ("close", 0, 11)})))
    assert {outcome.status for outcome in outcomes} == {Status.COMPUTED}
    assert results(tmp_path / "out") == whole
    assert "b: killed by signal 11, SIGSEGV, while it was closed; what was read of it before is whole" in caplog.text
    assert list(read_crash_notes(Store(tmp_path / "out"))) == ["b"]


def leftovers() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(("atlaspatch", "psm_"))}


@pytest.mark.parametrize("more", [(), pytest.param(("--gpus", "-1", "--gpus", "-1"), marks=pytest.mark.e2e)])
def test_commands_tell_of_the_slide_and_do_the_others(slides, whole, tmp_path, more):
    plugin = write_plugin(tmp_path, {"b": ("decode", 0, 11)})
    before = leftovers()
    options = [
        "--patch-size",
        256,
        "--target-mag",
        20,
        "--min-tissue-proportion",
        0.5,
        "--feature-precision",
        "float32",
    ]
    options += ["--patch-encoders", "tiny", "--slide-encoders", "mean-tiny", "--feature-plugin", plugin]
    options += more or ("--device", "cpu")
    run = run_cli("encode-slide", slides, "--output", tmp_path / "out", *options)
    assert run.returncode == 1, run.stderr
    [line] = [line for line in run.stdout.splitlines() if "FAILED" in line]
    assert line.startswith("b: ")
    assert "killed by signal 11, SIGSEGV, while its pixels were read" in line
    assert "3 slides: 2 computed, 0 reused, 1 failed" in run.stdout
    assert others(results(tmp_path / "out"), "b") == others(whole, "b")
    states = json.loads(next((tmp_path / "out" / "wsi_states").glob("b__*.json")).read_text())
    assert "SIGSEGV" in json.dumps(states)
    assert leftovers() == before

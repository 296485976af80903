"""One slide is encoded by several workers, and no row is lost or computed twice, whoever dies."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import h5py
import numpy as np
import pytest
from painting import paint_slide
from waiting import until
from worker_tasks import PLUGIN, sharing_tasks

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.pipeline.workers.pool import process_on
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.e2e

DATASETS = ("coords", "features/slow", "slide_features/mean-slow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a slide of tissue from edge to edge, each patch unlike the others, and what one process makes."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "plugin.py").write_text(PLUGIN)
    colours = np.random.default_rng(0).integers(60, 200, (32, 32, 3), np.uint8)
    colours[..., 1] //= 2
    paint_slide(folder / "large.svs", colours.repeat(128, axis=0).repeat(128, axis=1))
    list(process([source(folder)], make_recipe(sharing_tasks(folder, folder / "alone")[0].project)))
    return folder


@pytest.fixture(autouse=True)
def nothing_encoded(folder):
    for file in (*folder.glob("encoded-*"), folder / "together", folder / "long"):
        file.unlink(missing_ok=True)


def source(folder: Path) -> SlideSource:
    return SlideSource("large", folder / "large.svs")


def encoded(folder: Path) -> dict[int, int]:
    """Process to the patches that it encoded, in the order in which they began; of which one, when it was loaded."""
    files = sorted(folder.glob("encoded-*"))
    return {int(file.name.rpartition("-")[2]): sum(map(int, file.read_text().split())) for file in files}


def shared(folder: Path, output: Path, disturb: Callable[[], None] = lambda: None) -> list[Outcome]:
    """Encode the slide by two workers, while something is done to them."""
    disturbing = Thread(target=disturb)
    disturbing.start()
    outcomes = list(process_on(sharing_tasks(folder, output), [source(folder)]))
    disturbing.join()
    return outcomes


def assert_as_alone(folder: Path, output: Path, outcomes: list[Outcome]) -> None:
    assert [outcome.status for outcome in outcomes] == [Status.COMPUTED] * 5
    assert_files_as_alone(folder, output)


def assert_done_after_a_kill(folder: Path, output: Path, outcomes: list[Outcome]) -> None:
    """What the one that was killed had written, and had not told of, is reused."""
    assert len(outcomes) == 5
    assert {outcome.status for outcome in outcomes} <= {Status.COMPUTED, Status.REUSED}
    assert_files_as_alone(folder, output)


def assert_files_as_alone(folder: Path, output: Path) -> None:
    with (
        h5py.File(folder / "alone" / "patches" / "large.h5") as alone,
        h5py.File(output / "patches" / "large.h5") as several,
    ):
        for name in DATASETS:
            assert (alone[name][()] == several[name][()]).all()
            assert alone[name].attrs["fingerprint"] == several[name].attrs["fingerprint"]


def begun(folder: Path, processes: int) -> list[int]:
    """Wait until so many processes encode, and return them in the order in which they began."""
    until("workers encode", lambda: len(encoded(folder)) >= processes)
    return list(encoded(folder))


def kill_of_two(folder: Path, number: int) -> None:
    """Kill one of two processes as soon as both encode, which goes on until then."""
    os.kill(begun(folder, 2)[number], signal.SIGKILL)
    (folder / "together").unlink()


def test_two_workers_compute_each_patch_of_a_slide_once_and_as_one_does(folder, tmp_path):
    (folder / "together").touch()
    outcomes = shared(folder, tmp_path)
    assert_as_alone(folder, tmp_path, outcomes)
    counts = encoded(folder).values()
    assert len(counts) == 2
    assert sum(counts) == outcomes[-1].numbers["patches"] + len(counts)
    assert min(counts) > 32


def test_rows_of_a_worker_that_is_killed_are_computed_by_the_one_that_has_the_slide(folder, tmp_path):
    (folder / "together").touch()
    outcomes = shared(folder, tmp_path, lambda: kill_of_two(folder, 1))
    assert_done_after_a_kill(folder, tmp_path, outcomes)


def test_a_slide_whose_worker_is_killed_while_it_shares_it_is_done_by_the_other(folder, tmp_path):
    (folder / "together").touch()
    outcomes = shared(folder, tmp_path, lambda: kill_of_two(folder, 0))
    assert_done_after_a_kill(folder, tmp_path, outcomes)


def test_a_slide_that_kills_two_workers_fails_with_a_sentence(folder, tmp_path):
    def kill_two() -> None:
        first = begun(folder, 1)[0]
        os.kill(first, signal.SIGKILL)
        until("another has the slide alone", lambda: sum(encoded(folder).values()) > encoded(folder)[first] + 300)
        for process_id in set(encoded(folder)) - {first}:
            os.kill(process_id, signal.SIGKILL)

    (folder / "long").touch()
    outcomes = shared(folder, tmp_path, kill_two)
    failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
    assert len(outcomes) == 5
    assert [outcome.step.kind for outcome in failed] == ["patch_features"]
    assert "the worker on cpu died with SIGKILL while it had this slide in hand" in failed[0].why
    assert "as another did before (SIGKILL)" in failed[0].why


@pytest.mark.parametrize("patches", [1, 8])  # when the encoder is loaded, and amid the slide
def test_a_device_that_fails_costs_its_slide_a_retry_on_another(folder, tmp_path, patches):
    (folder / f"failing-at-{patches}").touch()
    assert_as_alone(folder, tmp_path, shared(folder, tmp_path))

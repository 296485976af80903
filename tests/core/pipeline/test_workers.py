"""Several processes work on the slides of one queue."""

import logging
from pathlib import Path

import h5py
import pytest
from painting import paint_slide, stain, white
from processes import start_code
from waiting import until
from worker_tasks import PLUGIN, tasks

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import UnknownName, WorkerDied
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.pipeline.workers import pool as workers
from atlaspatch_core.pipeline.workers.pool import process_on
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import make_recipe


@pytest.fixture
def sources(tmp_path) -> list[SlideSource]:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    stems = ("a", "b", "c", "d")
    widths = (512, 320, 768, 1024)  # 2, 1, 3 and 4 patches
    pixels = [stain(white(1024, 1024), 0, 0, width, 300, (200, 80, 100 + width // 10)) for width in widths]
    return [
        SlideSource(stem, paint_slide(tmp_path / f"{stem}.svs", slide))
        for stem, slide in zip(stems, pixels, strict=True)
    ]


def by_stem(outcomes) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.stem, []).append(outcome)
    return found


@pytest.mark.e2e
def test_every_slide_is_done_once_and_as_one_process_does_it(sources, tmp_path):
    seen, read = [], []
    found = by_stem(
        process_on(
            tasks(tmp_path, "mean-tiny"), sources, release=read.append, on_patches=lambda *told: seen.append(told)
        )
    )
    assert sorted(read) == ["a", "b", "c", "d"]
    assert {stem: len(outcomes) for stem, outcomes in found.items()} == dict.fromkeys("abcd", 5)
    assert {outcome.status for outcomes in found.values() for outcome in outcomes} == {Status.COMPUTED}
    assert ("d", 4, 4) in seen
    alone = make_project(
        {**tasks(tmp_path, "mean-tiny")[0].project.model_dump(), "output": tmp_path / "one"}, origin=""
    )
    list(process(sources, make_recipe(alone)))
    for stem in "abcd":
        with (
            h5py.File(tmp_path / "one" / "patches" / f"{stem}.h5") as one,
            h5py.File(tmp_path / "out" / "patches" / f"{stem}.h5") as several,
        ):
            for name in ("coords", "features/tiny", "slide_features/mean-tiny"):
                assert (one[name][()] == several[name][()]).all()
                assert one[name].attrs["fingerprint"] == several[name].attrs["fingerprint"]


@pytest.mark.e2e
def test_a_slide_that_kills_its_worker_fails_and_the_others_are_done_by_another(sources, tmp_path):
    found = by_stem(process_on(tasks(tmp_path, "deadly", workers=1), sources))
    (failed,) = [outcome for outcomes in found.values() for outcome in outcomes if outcome.status is Status.FAILED]
    assert (failed.stem, failed.transient) == ("b", True)
    assert "b: the worker on cpu died with SIGKILL while it had this slide in hand" in failed.why
    assert {stem: len(outcomes) for stem, outcomes in found.items()} == dict.fromkeys("abcd", 5)
    told = {Status.COMPUTED, Status.REUSED}  # where the worker died after it wrote a, and before it said so
    assert {found[stem][-1].status for stem in "acd"} <= told
    assert len(list(tmp_path.glob("pid-*"))) > 1


@pytest.mark.e2e
def test_leaving_early_ends_the_workers(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "SECONDS_TO_STOP", 1.0)
    outcomes = process_on(tasks(tmp_path, "endless", batch_size=1), sources)
    assert next(outcomes).step.kind == "slide"
    until("a worker is in the encoder", lambda: list(tmp_path.glob("pid-*")))
    outcomes.close()
    assert not [file for file in tmp_path.glob("pid-*") if is_alive(int(file.name.removeprefix("pid-")))]


def test_what_a_worker_cannot_begin_for_is_raised_here(sources, tmp_path):
    task = tasks(tmp_path, "mean-tiny")[0]
    (tmp_path / "plugin.py").write_text(PLUGIN.replace('name="tiny"', 'name="other"'))
    with pytest.raises(UnknownName, match="tiny"):
        list(process_on([task], sources))


def test_a_worker_that_dies_before_its_first_slide_is_an_error(sources, tmp_path):
    task = tasks(tmp_path, "mean-tiny")[0]
    (tmp_path / "plugin.py").write_text("import os\nos._exit(3)\n")
    with pytest.raises(WorkerDied, match="the worker on cpu ended with exit code 3 before it took a slide"):
        list(process_on([task], sources))


def test_warnings_of_workers_are_logged_here(sources, tmp_path, caplog):
    task = tasks(tmp_path, "mean-tiny")[0]
    speaking = 'import logging\nlogging.getLogger("atlaspatch_core.plugin").warning("a plugin speaks")\n'
    (tmp_path / "plugin.py").write_text(speaking + (tmp_path / "plugin.py").read_text())
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"no slide")
    with caplog.at_level(logging.WARNING, "atlaspatch_core"):
        outcomes = by_stem(process_on([task], [SlideSource("broken", broken)]))
    assert outcomes["broken"][0].status is Status.FAILED
    assert "a plugin speaks" in caplog.messages


KILLED = """
import sys
from pathlib import Path
from worker_tasks import tasks
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.workers.pool import process_on
folder = Path(sys.argv[1])
for outcome in process_on(tasks(folder, "endless", 1, 1), [SlideSource("a", folder / "a.svs")]):
    print(outcome.step.kind, flush=True)
"""


@pytest.mark.e2e
def test_workers_end_when_their_employer_is_killed(sources, tmp_path):
    with start_code(KILLED, tmp_path) as employer:
        for line in employer.stdout:
            if line.strip() == "patch_coords":
                break
        until("the worker is in the encoder", lambda: list(tmp_path.glob("pid-*")))
        employer.kill()
    (file,) = tmp_path.glob("pid-*")
    until("the worker ends", lambda: not is_alive(int(file.name.removeprefix("pid-"))))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False

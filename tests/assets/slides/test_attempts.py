"""Trying again, only what may pass; progress; and a run whose process was killed."""

import errno
import logging
import os
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from gated_projects import PLUGIN, gated
from processes import start_code
from small_projects import break_slide, failed_slides, paint, project, run, said
from waiting import until

from atlaspatch_assets.defs.slides.progress import Progress, format_duration
from atlaspatch_assets.defs.slides.retries import Attempts
from atlaspatch_assets.defs.slides.run_slides import RunSlides
from atlaspatch_assets.lib.pools import pool_of
from atlaspatch_core.config.sections import Runtime
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.discovery.transient import is_transient
from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status

LOG = logging.getLogger(__name__)
SOURCES = [SlideSource(stem, Path(f"{stem}.svs")) for stem in ("a", "b", "c")]
COORDS, FEATURES = OutputKey("patch_coords"), OutputKey("patch_features", "uni")


def done(stem: str, step: OutputKey = COORDS) -> Outcome:
    return Outcome(stem, step, Status.COMPUTED, "1" * 16)


def gone(stem: str) -> Outcome:
    return Outcome(stem, COORDS, Status.FAILED, why="storage went", transient=True)


def attempts(retries: int, pauses: list) -> Attempts:
    return Attempts(retries, 60, LOG, pauses.append)


def test_only_slides_whose_failure_may_pass_are_tried_again_with_growing_pauses():
    taken: list[list[str]] = []
    pauses: list[float] = []

    def take(sources):
        taken.append([source.stem for source in sources])
        for source in sources:
            if source.stem == "b":
                yield Outcome("b", COORDS, Status.FAILED, why="bad")
            elif source.stem == "c" and len(taken) < 3:
                yield gone("c")
                yield Outcome("c", FEATURES, Status.SKIPPED)
            else:
                yield done(source.stem)

    outcomes = list(attempts(3, pauses).outcomes(SOURCES, take))

    assert taken == [["a", "b", "c"], ["c"], ["c"]]
    assert pauses == [60, 120]
    assert [(it.stem, it.status) for it in outcomes] == [("a", "computed"), ("b", "failed"), ("c", "computed")]


def test_slides_are_sought_again_while_their_folder_is_away_and_no_longer():
    away, there = RunSlides((), unseen=("a",), why_unseen="not mounted"), RunSlides((SOURCES[0],))
    answers, pauses = iter([away, away, there]), []

    assert attempts(3, pauses).until_seen(lambda: next(answers)) is there
    assert pauses == [60, 120]
    assert attempts(1, pauses).until_seen(lambda: away) is away


def test_after_the_last_attempt_the_failure_is_told_once():
    pauses: list[float] = []

    outcomes = list(attempts(2, pauses).outcomes(SOURCES[:1], lambda sources: [gone(it.stem) for it in sources]))

    assert [it.why for it in outcomes] == ["storage went"]
    assert len(pauses) == 2


def test_what_was_done_before_the_failure_is_told_once():
    def take(sources):
        number.append(1)
        yield done("a")
        yield done("a", FEATURES) if len(number) > 1 else Outcome("a", FEATURES, Status.FAILED, transient=True)

    number: list[int] = []
    outcomes = list(attempts(1, []).outcomes(SOURCES[:1], take))

    assert [it.step for it in outcomes] == [COORDS, FEATURES]


def test_a_full_disk_and_a_stale_handle_may_pass_and_a_missing_file_does_not():
    def caused_by(number: int) -> Exception:
        try:
            try:
                raise OSError(number, os.strerror(number))
            except OSError as error:
                raise UnwritableOutput("a: cannot be written") from error
        except UnwritableOutput as error:
            return error

    passing = [is_transient(caused_by(number)) for number in (errno.ENOSPC, errno.ESTALE, errno.EIO)]
    lasting = [is_transient(caused_by(number)) for number in (errno.ENOENT, errno.EACCES)]

    assert (passing, lasting) == ([True] * 3, [False] * 2)
    assert is_transient(MemoryError())
    assert not is_transient(ValueError())


def test_a_device_out_of_memory_may_pass():
    import torch

    assert is_transient(torch.OutOfMemoryError("CUDA out of memory"))


def test_progress_says_slides_rate_and_time_left_though_outcomes_come_mixed():
    told: list[str] = []
    now = [0.0]
    progress = Progress(LOG, 4, 2, told.append, clock=lambda: now[0])

    for step, stem in ((COORDS, "a"), (COORDS, "b"), (FEATURES, "a")):
        now[0] += 20
        list(progress.watch([done(stem, step)]))
    progress.on_patches("b", 600, 1000)
    now[0] = 75
    progress.on_patches("b", 900, 1000)

    assert told[-1] == "1 of 4 slides, 12 patches/s, about 4 min left"
    assert [format_duration(seconds) for seconds in (59, 600, 7200)] == ["59 s", "10 min", "2.0 h"]


def test_a_slide_that_is_done_is_one_line_and_each_failure_one_more(caplog):
    caplog.set_level(logging.INFO, LOG.name)
    failed = replace(done("a", FEATURES), status=Status.FAILED, fingerprint=None, why="it is NaN")

    list(Progress(LOG, 2, 2, clock=lambda: 0.0).watch([done("a"), done("b"), failed, done("b", FEATURES)]))

    assert [it for it in caplog.messages if not it.endswith("slides")] == [
        "patch_features/uni failed: it is NaN",
        "a: patch_coords computed",
        "b: patch_coords computed · patch_features/uni computed",
    ]


def test_each_device_has_its_pool():
    devices = ("cuda", "cuda:0", "cuda:1", "cpu")

    assert [pool_of(Runtime(device=device)) for device in devices] == ["gpu", "gpu", "gpu_1", "gpu"]


def test_a_bad_slide_is_not_tried_again_and_the_page_of_the_run_says_how_far_it_is(tmp_path):
    paint(tmp_path / "slides", "good")
    break_slide(tmp_path / "slides", "bad")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(project(tmp_path), instance, ["bad", "good"])

        record = instance.get_run_by_id(result.run_id)

    assert list(failed_slides(result)) == ["bad"]
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    assert record is not None
    assert record.tags["atlaspatch/progress"] == "2 of 2 slides"


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
import dagster as dg
from gated_projects import gated
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.definitions import build_definitions
folder = Path(sys.argv[1])
slides = sys.argv[2:]
with dg.DagsterInstance.from_config(str(folder / "home")) as instance:
    job = build_definitions(gated(folder)).resolve_job_def("process_slides")
    job.execute_in_process(instance=instance, partition_key=slides[0], run_config=ProjectNames().slides.config(slides))
"""


@pytest.mark.e2e
def test_a_run_whose_process_was_killed_is_resumed_with_what_landed(tmp_path):
    stems = [f"s{number:02}" for number in range(12)]
    paint(tmp_path / "slides", *stems)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "gate").touch()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        instance.add_dynamic_partitions("slides", stems)
        kill_after_first_embedding(tmp_path, stems, instance)
        (tmp_path / "gate").unlink()
        landed = instance.get_materialized_partitions(EMBEDDING)

        assert run(gated(tmp_path), instance, stems).success

        statuses = {stem: said(instance, "slide_embedding/gated", stem)["status"] for stem in stems}
        assert instance.get_materialized_partitions(EMBEDDING) == set(stems)
    assert landed
    assert {statuses[stem] for stem in landed} == {"reused"}
    assert "computed" in statuses.values()


EMBEDDING = dg.AssetKey(["slide_embedding", "gated"])


def kill_after_first_embedding(folder: Path, stems: list[str], instance: dg.DagsterInstance) -> None:
    """Run the job in another process, and kill that without warning once a slide is done."""
    with start_code(KILLED, folder, *stems) as child:
        until("a slide is done", lambda: child.poll() or instance.get_materialized_partitions(EMBEDDING), pause=0.05)
        child.kill()

"""Runs that do not end by themselves are recorded as what they were, by real processes."""

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from processes import start_code
from tracked_folders import arguments, at_gate, encode, paint, runs_of, state_of
from waiting import SECONDS, send

from atlaspatch_core.cli.main import cli


@pytest.fixture
def waiting(tmp_path):
    """A run in its own process that has made everything but the embedding of its slide, and waits at the gate."""
    paint(tmp_path / "slides", "a")
    words = arguments(tmp_path, "--slide-encoders", "gated")
    with at_gate(tmp_path, words) as process:
        yield process


def status_of(tmp_path: Path) -> str:
    result = CliRunner().invoke(cli, ["status", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()[-1]


def test_a_run_that_lives_is_running(waiting, tmp_path):
    (run,) = runs_of(tmp_path / "out")

    assert (run["status"], run["finished_at"]) == ("running", None)
    assert " running: started " in status_of(tmp_path)


@pytest.mark.parametrize(
    ("number", "status", "code", "told"),
    [
        (signal.SIGINT, "interrupted", 130, "Interrupted"),
        (signal.SIGTERM, "terminated", 143, "Ended by SIGTERM"),
        (signal.SIGHUP, "terminated", 129, "Ended by SIGHUP"),
    ],
)
def test_a_run_that_is_told_to_end_finishes_what_it_writes_and_says_so(waiting, tmp_path, number, status, code, told):
    send(number, waiting.pid)
    (tmp_path / "gate").unlink()
    _, errors = waiting.communicate(timeout=SECONDS)

    (run,) = runs_of(tmp_path / "out")
    assert (run["status"], waiting.returncode) == (status, code)
    assert run["finished_at"] is not None
    assert told in errors
    assert f"· {status}" in (tmp_path / "out" / "summary.md").read_text()
    assert encode(tmp_path, "--slide-encoders", "gated").exit_code == 0


def test_a_run_that_was_killed_is_recognised_by_status(waiting, tmp_path):
    waiting.kill()
    waiting.wait()
    (before,) = runs_of(tmp_path / "out")

    line = status_of(tmp_path)

    (run,) = runs_of(tmp_path / "out")
    assert before["status"] == "running"
    assert run["status"] == "killed"
    assert "(encode-slide) killed (the process ended without a word" in line
    assert run["finished_at"] is not None


def test_a_run_that_was_killed_is_recognised_by_the_next_run(waiting, tmp_path):
    waiting.kill()
    waiting.wait()
    (tmp_path / "gate").unlink()
    state = state_of(tmp_path / "out", "a")

    assert encode(tmp_path, "--slide-encoders", "gated").exit_code == 0

    assert [run["status"] for run in runs_of(tmp_path / "out")] == ["killed", "completed"]
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert summary.index("· killed") < summary.index("· completed")
    assert state["tasks"]["segmentation"]["status"] == "completed"
    assert "slide_features:gated" not in state["tasks"]
    assert state_of(tmp_path / "out", "a")["summary"]["slide_features"] == {"gated": "completed"}


def test_a_second_run_beside_one_that_lives_leaves_it_alone(waiting, tmp_path):
    assert encode(tmp_path, "--patch-encoders", "other").exit_code == 0
    assert sorted(run["status"] for run in runs_of(tmp_path / "out")) == ["completed", "running"]

    (tmp_path / "gate").unlink()
    waiting.communicate(timeout=SECONDS)

    assert [run["status"] for run in runs_of(tmp_path / "out")] == ["completed", "completed"]
    assert set(state_of(tmp_path / "out", "a")["tasks"]) == {
        "segmentation",
        "coords",
        "patch_features:tiny",
        "patch_features:other",
        "slide_features:gated",
    }


def test_a_killed_run_is_shown_as_such_where_nothing_can_be_written(waiting, tmp_path):
    waiting.kill()
    waiting.wait()
    locks = tmp_path / "out" / ".locks" / "runs"
    for lock in locks.iterdir():
        lock.unlink()
    locks.rmdir()
    locks.write_text("no folder")

    assert " killed " in status_of(tmp_path)
    assert json.loads(next((tmp_path / "out" / "runs").glob("*.json")).read_bytes())["status"] == "running"


SLOWLY = """
import time
from atlaspatch_core.isolation import interrupts
from atlaspatch_core.operations.tracking import signals

def slowly(number, send=interrupts.send_soon):
    interrupts.send_soon = signals.send_soon = send
    send(number)
    time.sleep(4 * interrupts.SECONDS_TO_AGAIN)

interrupts.send_soon = signals.send_soon = slowly
"""
"""Lets the first signal that is sent again come while the main thread is still at sending it."""
LOSING = """
import os, signal, sys, time
from atlaspatch_core.operations.tracking.signals import Terminated, send_lost_signals_again, termination_raises

class Freed:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(1)

send_lost_signals_again()
with termination_raises():
    try:
        Freed()
        time.sleep(60)
    except (KeyboardInterrupt, Terminated) as error:
        print(type(error).__name__)
"""


@pytest.mark.parametrize("before", ["", SLOWLY])
@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "Terminated")])
def test_a_signal_that_python_loses_while_it_frees_something_comes_again(number, raised, before):
    with start_code(before + LOSING, int(number)) as process:
        assert process.communicate() == (f"{raised}\n", "")


WAITING = """
import _imp, os, signal, sys, threading, time
from importlib import _bootstrap
from atlaspatch_core.operations.tracking.signals import termination_raises

held, main = threading.Event(), threading.get_ident()

def hold():
    _imp.acquire_lock()
    held.set()
    while not sys._current_frames()[main].f_code.co_filename.startswith("<frozen importlib"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    _imp.release_lock()

with termination_raises():
    threading.Thread(target=hold).start()
    try:
        held.wait()
        _bootstrap._get_module_lock("module")
        threading.Event().wait(60)
    except KeyboardInterrupt:
        print(_imp.lock_held())
"""


@pytest.mark.parametrize("before", ["", SLOWLY])
def test_ctrl_c_does_not_leave_the_lock_of_imports_held(before):
    with start_code(before + WAITING) as process:
        assert process.communicate() == ("False\n", "")

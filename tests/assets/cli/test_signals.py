"""Ctrl-C and signals at commands that Dagster runs in: real ones, at real processes."""

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
from gated_projects import PLUGIN
from processes import run_cli, start_cli
from project_files import project_text
from rounds import Chance, soak
from small_projects import paint
from waiting import SECONDS, send, until

from atlaspatch_assets.cli.interrupted_runs import deferred_signals

PROJECT = 'plugins = ["plugin.py"]\n' + project_text(
    geometry='slide_encoders = ["gated"]', runtime="slides_per_run = 1\nread_workers = 2"
)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of three slides, a run each, whose second waits at the gate as long as there is one."""
    paint(tmp_path / "slides", "a", "b", "c")
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "atlaspatch.toml").write_text(PROJECT)
    return tmp_path


def start(folder: Path, *words: str):
    home = {"DAGSTER_HOME": str(folder / "dagster")}
    return start_cli(*words, folder=folder, environment=home, new_session=True)


def statuses(folder: Path) -> list[str]:
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        return [run.status.value for run in instance.get_runs()]


@pytest.mark.parametrize(
    ("command", "number"),
    [(["materialize"], signal.SIGINT), (["backfill", "--missing"], signal.SIGTERM)],
    ids=lambda word: word[0] if isinstance(word, list) else word.name,
)
def test_a_signal_cancels_the_run_and_says_what_is_done(folder, command, number):
    check_signal_at_the_gate(folder, command, number)


@pytest.mark.e2e
def test_the_next_run_makes_what_remains(folder):
    check_signal_at_the_gate(folder, ["materialize"], signal.SIGHUP)

    again = run_cli("materialize", folder=folder, environment={"DAGSTER_HOME": str(folder / "dagster")})

    assert again.returncode == 0, again.stderr
    assert "0 failed" in again.stdout
    assert statuses(folder).count("SUCCESS") == 4


def check_signal_at_the_gate(folder: Path, command: list[str], number: signal.Signals) -> None:
    (folder / "gate").touch()
    with start(folder, *command) as process:
        until("it is at the gate", lambda: (folder / "reached").exists() or process.poll() is not None)
        send(number, process.pid, group=number == signal.SIGINT)
        (folder / "gate").unlink()
        out, errors = process.communicate(SECONDS)

    assert process.returncode == CODES[number], errors
    (sentence,) = (line for line in errors.splitlines() if "of Dagster is cancelled" in line)
    assert sentence.startswith("Interrupted: " if number == signal.SIGINT else f"Ended by {number.name}: ")
    assert "1 of 3 slides are done, 2 remain; what was finished stays in" in sentence
    assert not [word for word in ("Traceback", "FAILED", "reused", "Dagster's") if word in out + errors]
    assert statuses(folder) == ["CANCELED", "SUCCESS"]


@pytest.mark.e2e
@pytest.mark.soak
def test_at_any_moment_a_signal_ends_it_in_order(folder):
    soak(2, lambda chance: check_signal_at_any_moment(folder, chance))


def check_signal_at_any_moment(folder: Path, chance: Chance) -> None:
    number = chance.choice([*CODES])
    with start(folder, "materialize") as process:
        time.sleep(chance.uniform(0.5, 6))
        if process.poll() is None:
            with suppress(ProcessLookupError):  # it ended just now
                os.killpg(process.pid, number)
        out, errors = process.communicate(SECONDS)

    assert process.returncode in (CODES[number], 0), errors
    leaked = [word for word in ("Traceback", "FAILED", "InterruptedError") if word in out + errors]
    assert not leaked, out + errors
    assert not (folder / "dagster" / "history").is_dir() or set(statuses(folder)) <= {"CANCELED", "SUCCESS"}
    for made in ("output", "dagster"):
        shutil.rmtree(folder / made, ignore_errors=True)


@pytest.mark.quick
def test_who_handles_a_signal_does_not_hide_it():
    """Dagster puts handlers of its own in place, which do not tell one signal from another."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with deferred_signals() as first_signal:
            assert first_signal() is None
            with pytest.raises(dg.DagsterExecutionInterruptedError), dg.raise_execution_interrupts():
                os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            assert first_signal() == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)

"""The lock of the tracking while a process keeps it that is stopped: the others go on, and nothing is lost."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Child, start_code
from tracked_folders import encode, paint, runs_of, state_of
from waiting import SECONDS, until

from atlaspatch_core.operations.tracking import locking
from atlaspatch_core.operations.tracking.locking import hold_tracking_lock

STOPPED_AMID_ITS_NOTE = """
import os, signal, sys
from pathlib import Path
from atlaspatch_core.operations.tracking.locking import hold_tracking_lock
from atlaspatch_core.operations.tracking.summary import append_section

write = Path.write_text

def write_and_stop(path, *words, **options):
    write(path, *words, **options)
    if path.suffix == ".tmp":
        Path.write_text = write
        os.kill(os.getpid(), signal.SIGSTOP)

with hold_tracking_lock(Path(sys.argv[1])):
    Path.write_text = write_and_stop
    append_section(Path(sys.argv[1]), "## of the one that was stopped\\n")
"""


def is_stopped(pid: int) -> bool:
    return "State:\tT" in Path(f"/proc/{pid}/status").read_text()


@pytest.fixture
def stopped(tmp_path, monkeypatch) -> Iterator[Child]:
    """A process that was stopped while it added to the summary of a run; others wait for half a second."""
    paint(tmp_path / "slides", "a")
    assert encode(tmp_path).exit_code == 0
    monkeypatch.setattr(locking, "SECONDS_TO_WAIT", 0.5)
    with start_code(STOPPED_AMID_ITS_NOTE, str(tmp_path / "out")) as child:
        until("it is stopped", lambda: is_stopped(child.pid))
        yield child
        child.kill()


def test_a_run_goes_on_where_a_stopped_process_holds_the_lock_and_both_are_noted(stopped, tmp_path):
    paint(tmp_path / "slides", "b")

    result = encode(tmp_path)

    assert result.exit_code == 0, result.output
    assert result.output.count("is held for over") == 1
    assert f"by process {stopped.pid}@{socket.gethostname()}, which is stopped or hangs" in result.output
    assert [run["status"] for run in runs_of(tmp_path / "out")] == ["completed", "completed"]
    assert state_of(tmp_path / "out", "b")["summary"]["coords"] == "completed"

    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.wait(timeout=SECONDS) == 0
    text = (tmp_path / "out" / "summary.md").read_text()
    assert text.count("\n## ") == 3
    assert text.endswith("## of the one that was stopped\n")
    assert "is held" not in encode(tmp_path).output


HOLDING_WHEN_TOLD = """
import sys
from pathlib import Path
from atlaspatch_core.operations.tracking.locking import hold_tracking_lock
for _ in sys.stdin:
    with hold_tracking_lock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
    print("let go", flush=True)
"""


def have(child: Child, done: str) -> None:
    """Have a child take the lock, or let go of it."""
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == f"{done}\n"


def test_a_lock_that_goes_from_hand_to_hand_is_taken_from_nobody(tmp_path, monkeypatch, caplog):
    """Whenever the one that waits has looked who holds it, another gets it; all of them hold it beyond the bound."""
    monkeypatch.setattr(locking, "SECONDS_TO_WAIT", 0.3)
    read_text, looks = Path.read_text, []

    def look_and_pass_on(path: Path, *words, **options) -> str:
        text = read_text(path, *words, **options)
        if path.suffix == ".holder":
            looks.append(text)
            have(holders[0], "let go")
            holders.reverse()
            if len(looks) < 5:
                have(holders[0], "held")
        return text

    with start_code(HOLDING_WHEN_TOLD, tmp_path) as one, start_code(HOLDING_WHEN_TOLD, tmp_path) as other:
        holders = [one, other]
        have(one, "held")
        monkeypatch.setattr(Path, "read_text", look_and_pass_on)
        with hold_tracking_lock(tmp_path):
            pass
        for child in holders:
            child.communicate()
    assert len(set(looks)) == 5
    assert caplog.text == ""

"""Commands that may take so much time and memory and no more, and what must hold of every end of one."""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from processes import ATLASPATCH, Child, start_code

CPU_SECONDS = 120
"""Of each process; small slides take a hundredth of it."""
WALL_SECONDS = 400
MOST_MEGABYTES = 1500
"""By which a process may grow."""

_BOUNDED = f"""
import atexit, os, resource, signal, sys
from pathlib import Path
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_SECONDS}, {CPU_SECONDS}))
def megabytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024
Path("/proc/self/clear_refs").write_text("5")  # the most so far was that of the process which forked
before = megabytes("VmRSS")
atexit.register(lambda: print(f"GREW {{megabytes('VmHWM') - before}} MB", file=sys.stderr))
sys.argv[0] = "atlaspatch"
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    errors: str

    @property
    def text(self) -> str:
        return f"{self.out}\n{self.errors}"


def start_bounded(
    *words: object, folder: Path | None = None, before: str = "", environment: dict[str, str] | None = None
) -> Child:
    """Run ``atlaspatch`` within the bounds; ``before`` is code that runs first."""
    return start_code(_BOUNDED + before + ATLASPATCH, *words, folder=folder or Path.cwd(), environment=environment)


def end_of(process: Child) -> Ended:
    """Wait for a command, and return its end. Raises AssertionError where it took too long or too much memory."""
    with process:
        try:
            out, errors = process.communicate(WALL_SECONDS)
        except subprocess.TimeoutExpired as hang:
            process.kill()
            raise AssertionError(f"it said nothing for {WALL_SECONDS} s") from hang
    ended = Ended(process.wait(), out, errors)
    assert ended.code != -signal.SIGXCPU, f"it took more than {CPU_SECONDS} s of a core\n{ended.text}"
    grown = [int(line.split()[1]) for line in errors.splitlines() if line.startswith("GREW ")]
    assert all(megabytes < MOST_MEGABYTES for megabytes in grown), f"it grew by {grown} MB\n{ended.text}"
    return ended


def run_bounded(*words: object, codes: Sequence[int] = (0, 1), **more: object) -> Ended:
    """Run a command to its end, which is one of these exit codes and no traceback."""
    ended = end_of(start_bounded(*words, **more))  # pyright: ignore[reportArgumentType]
    check_said_well(ended, codes)
    return ended


def check_said_well(ended: Ended, codes: Sequence[int]) -> None:
    """Assert that a command ended by itself, in its own words."""
    assert ended.code in codes, f"exit {ended.code}\n{ended.text}"
    for sign in ("Traceback", "failed unexpectedly", "Segmentation fault", "Fatal Python error"):
        assert sign not in ended.text, ended.text


def keep_fault(name: str, content: bytes) -> Path:
    """Keep bytes that a fault was found with, outside of what pytest removes, and return where."""
    folder = Path(os.environ.get("ATLASPATCH_FOUND", "build/found")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path

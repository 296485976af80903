"""Waiting for what other processes and threads do: the event ends it, however slow the machine is."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

SECONDS = 600.0
"""After so long it is not slow but broken."""

T = TypeVar("T")


def until(what: str, ask: Callable[[], T], pause: float = 0.02) -> T:
    """Return the first true answer. Raises TimeoutError that says what was waited for, and the last answer."""
    end = time.monotonic() + SECONDS
    while not (answer := ask()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {SECONDS:.0f} s; last answer {answer!r}")
        time.sleep(pause)
    return answer


def send(number: signal.Signals, pid: int, *, group: bool = False) -> None:
    """Send a signal to a process, or to its group, and wait until the process has taken it."""
    (os.killpg if group else os.kill)(pid, number)
    until(f"process {pid} takes {number.name}", lambda: number not in pending(pid))


def pending(pid: int) -> set[int]:
    """Return the signals that were sent to a process and have not reached it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return {number for number in signal.Signals if any(mask >> (number - 1) & 1 for mask in masks)}

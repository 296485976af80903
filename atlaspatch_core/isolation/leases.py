"""Isolated processes that wait to be asked: each is lent to one at a time, so that its crash has one culprit."""

import atexit
import os
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from threading import Lock
from typing import TypeVar

from atlaspatch_core.hidden_names import are_names_hidden, hide_names
from atlaspatch_core.isolation.process import IsolatedProcess, ProcessDied
from atlaspatch_core.isolation.server import is_isolated
from atlaspatch_core.isolation.surroundings import Surroundings
from atlaspatch_core.plugins.in_use import files_in_use, use_plugins

Result = TypeVar("Result")

_lock = Lock()
_idle: list[IsolatedProcess] = []
_lent: set[IsolatedProcess] = set()


def isolates() -> bool:
    """Tell whether what may crash is done by another process: not by one that was started for it, nor on Windows."""
    return os.name == "posix" and not is_isolated()


def execute_first(files: Iterable[Path]) -> None:
    """Have these plugin files executed by processes before they are lent: they may bring readers, or codecs."""
    use_plugins(files)


def start_ahead(files: Iterable[Path]) -> None:
    """Start a process that will be asked soon, so that it begins while this one does; the ``files`` as above."""
    execute_first(files)
    if isolates() and not _idle:
        process = IsolatedProcess(files_in_use(), _end_quiet)
        with _lock:
            _idle.append(process)


def lend_process() -> IsolatedProcess:
    """Return a process that nobody else asks, an idle one or a new one."""
    while process := _take_idle():
        if process.is_alive and process.is_as_new(files_in_use()):
            break
        process.end()
    process = process or IsolatedProcess(files_in_use(), _end_quiet)
    with _lock:
        _lent.add(process)
    if are_names_hidden():
        process.call(hide_names, {})
    process.enter(Surroundings.now())
    return process


def return_process(process: IsolatedProcess) -> None:
    """Let others ask a process."""
    with _lock:
        _lent.discard(process)
        if process.is_alive:
            _idle.append(process)


def run_isolated(function: Callable[..., Result], *arguments: object, seconds: float | None = None) -> Result:
    """Return what a function of a module returns, or raise what it raises, called in a process of its own.

    Raises ProcessDied where it crashes, or takes more than so many seconds.
    """
    if not isolates():
        return function(*arguments)
    process = lend_process()
    try:
        return process.ask(function, *arguments).result(seconds)
    except FutureTimeout:
        process.end()
        raise ProcessDied(f"killed after {seconds:g} s without an answer") from None
    finally:
        return_process(process)


def end_processes() -> None:
    """End all processes, also those that are asked for something now: it raises ProcessDied there."""
    with _lock:
        processes = (*_idle, *_lent)
    for process in processes:
        process.end()


def _take_idle() -> IsolatedProcess | None:
    with _lock:
        return _idle.pop() if _idle else None


def _end_quiet(process: IsolatedProcess) -> None:
    """Let an idle process go; its own thread calls this, and hears of its end."""
    with _lock:
        if process in _idle:
            _idle.remove(process)
            process.kill()


def _forget_all() -> None:
    """Forget the processes of a process that this one was forked from."""
    global _lock
    _lock = Lock()
    _idle.clear()
    _lent.clear()


atexit.register(end_processes)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)

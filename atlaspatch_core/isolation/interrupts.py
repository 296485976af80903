"""Ctrl-C and other signals: which processes they do not reach, and at which moments nothing is raised for them."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer, current_thread, main_thread
from types import FrameType
from typing import Any

SECONDS_TO_AGAIN = 0.05
IMPORTING = "<frozen importlib"

Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Let a process that is started here not be interrupted by Ctrl-C: we are, and end it."""
    if not hasattr(signal, "pthread_sigmask") or current_thread() is not main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wait_while_importing(handler: Handler, *files: str) -> Handler:
    """Return a handler that is called once the main thread is not at the lock of imports, nor in code of ``files``.

    What is raised at the lock leaves it held, and threads that import wait for ever (CPython 3.11). What is raised in
    code that deals with a signal, here or in ``files``, is lost, or is raised at the lock that the code was called at.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if frame and is_bad_moment(frame, (__file__, *files)):
            send_soon(number)
        else:
            handler(number, frame)

    return handle


def is_bad_moment(frame: FrameType, files: tuple[str, ...]) -> bool:
    """Tell whether a frame is at the lock of imports, or was called from code of ``files``."""
    if frame.f_code.co_filename.startswith(IMPORTING):
        return True
    callers: FrameType | None = frame
    while callers and callers.f_code.co_filename not in files:
        callers = callers.f_back
    return callers is not None


def send_soon(number: int) -> None:
    """Send this process a signal in a moment."""
    again = Timer(SECONDS_TO_AGAIN, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()

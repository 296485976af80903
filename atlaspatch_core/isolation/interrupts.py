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


def wait_while_importing(handler: Handler) -> Handler:
    """Return a handler that is called once the main thread is not at the lock of imports.

    What is raised there leaves the lock held, and threads that import wait for ever (CPython 3.11).
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if frame and frame.f_code.co_filename.startswith(IMPORTING):
            send_soon(number)
        else:
            handler(number, frame)

    return handle


def send_soon(number: int) -> None:
    """Send this process a signal in a moment."""
    again = Timer(SECONDS_TO_AGAIN, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()

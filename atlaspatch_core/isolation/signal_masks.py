"""Processes that are started so that Ctrl-C, which a terminal sends to all of them, does not reach them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


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

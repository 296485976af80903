"""How a run ends when it is not by itself: signals become exceptions, so that what is being written gets whole."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from atlaspatch_core.errors import AskedToEnd
from atlaspatch_core.isolation.interrupts import send_soon, wait_while_importing


class Terminated(AskedToEnd):
    """The process was asked to end, by SIGTERM (a scheduler, ``docker stop``) or SIGHUP (its terminal is gone)."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        """As shells have it: 143 for SIGTERM."""


SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def termination_raises() -> Iterator[None]:
    """Raise Terminated in the main thread at the first such signal; the second one ends the process at once.

    Ctrl-C raises KeyboardInterrupt as always. Signals that are handled or ignored already (``nohup``) stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *SIGNALS)}
    ours = {number: of for number, of in before.items() if of in (signal.SIG_DFL, signal.default_int_handler)}
    try:
        for number in ours:
            signal.signal(number, _end_soon)
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    for each in SIGNALS:
        if signal.getsignal(each) is _end_soon:
            signal.signal(each, signal.SIG_DFL)
    raise Terminated(number)


_end_soon = wait_while_importing(_end, __file__)


def send_lost_signals_again() -> None:
    """Let Ctrl-C and signals come again that Python loses: those that come while something is freed. Print nothing."""
    print_unraisable = sys.unraisablehook

    def send_again(lost: "sys.UnraisableHookArgs") -> None:
        error = lost.exc_value
        if error is None or isinstance(error, Exception | GeneratorExit | SystemExit):
            print_unraisable(lost)
            return
        number = error.exit_code - 128 if isinstance(error, Terminated) else signal.SIGINT
        if isinstance(error, Terminated):
            signal.signal(number, _end_soon)
        send_soon(number)

    sys.unraisablehook = send_again


def exit_at_signals() -> None:
    """Let Ctrl-C and signals end the process at once, with 128 + their number: all is done, and the interpreter ends.

    Ctrl-C would print a traceback of it.
    """
    for number in (signal.SIGINT, *SIGNALS):
        signal.signal(number, lambda number, _: os._exit(128 + number))


def fate_of(error: BaseException | None) -> tuple[str, str | None]:
    """Return the status of a run that ended with an exception, or none, and what to say of it."""
    if error is None:
        return "completed", None
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted by Ctrl-C"
    if isinstance(error, Terminated):
        return "terminated", f"ended by {error}"
    return "error", f"{type(error).__name__}: {error}"

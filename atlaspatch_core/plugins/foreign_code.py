"""Code of plugins when it is called: where it would end the program, that is one sentence with its file and line."""

import signal
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from atlaspatch_core.errors import AskedToEnd, ForeignExit

LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
OURS = str(Path(__file__).parents[1])


@contextmanager
def no_exit(whose: str) -> Iterator[None]:
    """Raise ForeignExit for whatever would end the program and is neither Ctrl-C nor a signal's doing."""
    try:
        yield
    except BaseException as error:  # an exit may be a class of its own
        if is_foreign_exit(error):
            raise foreign_exit(whose, error) from error
        raise


def is_foreign_exit(error: BaseException) -> bool:
    """Tell whether an error ends the program though nobody asked for that: ``sys.exit()``, or a class of its own."""
    if isinstance(error, Exception | KeyboardInterrupt | AskedToEnd):
        return False
    return not _is_of_signal(error.__traceback__)


def foreign_exit(whose: str, error: BaseException) -> ForeignExit:
    """Return what to say of it."""
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ForeignExit(f"{whose} would end the program ({message}){place_of(error)}; it may raise an Exception")


def place_of(error: BaseException) -> str:
    """Return where code that is neither ours nor a library's raised it, ``, at FILE, line N``; else where it was."""
    if isinstance(error, SyntaxError) and error.filename:
        return f", at {error.filename}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    theirs = [frame for frame in frames if not frame.filename.startswith((OURS, *LIBRARIES))]
    last = (theirs or frames)[-1:]
    return "".join(f", at {frame.filename}, line {frame.lineno}" for frame in last)


def foreign_place_of(error: BaseException) -> str:
    """Return what ``place_of`` does where code of a plugin raised it, at any depth; empty where none took part."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [one for one in frames if not one.filename.startswith((OURS, "<", *LIBRARIES))]
    return f", at {theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else ""


def _is_of_signal(trace: TracebackType | None) -> bool:
    """Tell whether a handler of signals is among the frames."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = [code for handler in handlers if (code := getattr(handler, "__code__", None))]
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(trace))

"""What libraries raise of files that are damaged: more kinds of errors than they document."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.slide import stem_of

DAMAGED_PIXELS = (ValueError, LookupError, ArithmeticError, RuntimeError, SystemError, OSError, EOFError)
"""Of pixels that they cannot decode; SystemError, numcodecs of a Blosc chunk with a wrong size."""
DAMAGED_FILE = (*DAMAGED_PIXELS, AttributeError, TypeError, SyntaxError, struct.error)
"""Of metadata that are no longer of their type; SyntaxError is that of XML."""
PACKAGE = __name__.partition(".")[0]


@contextmanager
def refuse_damage(
    describe: Callable[[Exception], str], errors: tuple[type[Exception], ...] = DAMAGED_FILE
) -> Iterator[None]:
    """Turn ``errors`` that libraries raise of a damaged file into UnreadableSlide, in the words of ``describe``.

    A fault of this program says nothing of the file, and is raised as it is.
    """
    try:
        yield
    except errors as error:
        if _is_own_fault(error):
            raise
        raise UnreadableSlide(describe(error)) from error


def cut_short(path: Path) -> Callable[[Exception], str]:
    """Return what says in words that a file is damaged."""
    return lambda error: f"{stem_of(path)}: {path.name} is cut short or damaged ({error}); {COPY}"


def _is_own_fault(error: BaseException) -> bool:
    """Tell whether an error is a fault of this program.

    AttributeError and TypeError are what libraries raise of damaged metadata. Raised by a line of our own, they are a
    mistake in that line, which looks at what it got before it uses it.
    """
    if not isinstance(error, AttributeError | TypeError):
        return False
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace else ""
    return module.partition(".")[0] == PACKAGE

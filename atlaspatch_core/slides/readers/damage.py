"""What libraries raise of files that are damaged: more kinds of errors than they document."""

import struct

DAMAGED_PIXELS = (ValueError, LookupError, ArithmeticError, RuntimeError, SystemError, OSError, EOFError)
"""Of pixels that they cannot decode; SystemError, numcodecs of a Blosc chunk with a wrong size."""
DAMAGED_FILE = (*DAMAGED_PIXELS, AttributeError, TypeError, SyntaxError, struct.error)
"""Of metadata that are no longer of their type; SyntaxError is that of XML. Ask ``is_own_fault`` of such an error."""
PACKAGE = __name__.partition(".")[0]


def is_own_fault(error: BaseException) -> bool:
    """Tell whether an error is a fault of this program and says nothing of the file: it is to be raised as it is.

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

"""What libraries raise of files that are damaged: more kinds of errors than they document."""

import struct

DAMAGED_PIXELS = (ValueError, LookupError, ArithmeticError, RuntimeError, SystemError, OSError, EOFError)
"""Of pixels that they cannot decode; SystemError, numcodecs of a Blosc chunk with a wrong size."""
DAMAGED_FILE = (*DAMAGED_PIXELS, AttributeError, TypeError, SyntaxError, struct.error)
"""Of metadata that are no longer of their type; SyntaxError is that of XML."""

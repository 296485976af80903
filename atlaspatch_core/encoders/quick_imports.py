"""Libraries of networks are imported without Python's cycle collector, which would go through all they make many times.

torch and timm make a million objects, none of them garbage; a fifth of the time of importing them went into looking.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """Have no cycles collected in this process until the block ends; what nobody refers to still goes at once."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

"""Whether Python files that a project names may be executed: looking at results is no consent to that."""

from collections.abc import Iterator
from contextlib import contextmanager

_executes = True


@contextmanager
def executing_nothing() -> Iterator[None]:
    """Have no plugin file executed by this process, whoever asks for it, until the block ends."""
    global _executes
    before, _executes = _executes, False
    try:
        yield
    finally:
        _executes = before


def executes_plugins() -> bool:
    """Tell whether plugin files may be executed."""
    return _executes

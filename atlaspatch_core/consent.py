"""Whether Python files that a project names may be executed: looking at results is no consent to that."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from types import CodeType

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


class SourceLoader(SourceFileLoader):
    """Loads a Python file from its source: a compiled one beside it is held for new by second and size alone."""

    def get_code(self, fullname: str) -> CodeType | None:
        """Return what the source says now."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

"""Whether Python files that a project names may be executed: looking at results is no consent to that."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

_executes = True
_named: frozenset[Path] = frozenset()
"""Files that somebody named to a command that otherwise executes none."""


@contextmanager
def executing_nothing() -> Iterator[None]:
    """Have no plugin file executed by this process, whoever asks for it, until the block ends."""
    global _executes
    before, _executes = _executes, False
    try:
        yield
    finally:
        _executes = before


@contextmanager
def executing_named(paths: Iterable[Path]) -> Iterator[None]:
    """Let these files be executed until the block ends, though all others may not: somebody named them here and now."""
    global _named
    before, _named = _named, _named | {path.resolve() for path in paths}
    try:
        yield
    finally:
        _named = before


def executes_plugins() -> bool:
    """Tell whether the plugin files that a project names may be executed."""
    return _executes


def may_execute(path: Path) -> bool:
    """Tell whether this plugin file may be executed."""
    return _executes or path.resolve() in _named


class SourceLoader(SourceFileLoader):
    """Loads a Python file from its source: a compiled one beside it is held for new by second and size alone."""

    def get_code(self, fullname: str) -> CodeType | None:
        """Return what the source says now."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

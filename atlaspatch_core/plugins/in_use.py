"""Which plugin files count in this process, for tables that are asked from many places; and in those it starts."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from atlaspatch_core.consent import may_execute
from atlaspatch_core.plugins.loading import Plugin, file_plugins, installed_plugins


class PluginFile(NamedTuple):
    """A plugin file as it was when it was named."""

    path: str
    """Absolute."""
    digest: str
    """sha256; empty for a file that cannot be read."""


_files: tuple[PluginFile, ...] = ()
_executable: frozenset[PluginFile] = frozenset()


def use_plugins(paths: Iterable[Path]) -> None:
    """Have these plugin files count in this process, in place of those before. None is executed yet.

    Those that are named while none may be executed are not executed later, either: what is read next, in the same
    process, is no consent to them.
    """
    global _files, _executable
    _files = tuple(PluginFile(str(path.absolute()), _digest(path)) for path in map(Path, paths))
    _executable = frozenset(file for file in _files if may_execute(Path(file.path)))


def named_files() -> tuple[Path, ...]:
    """Return the plugin files that count, also where none may be executed."""
    return tuple(Path(file.path) for file in _files)


def files_in_use() -> tuple[PluginFile, ...]:
    """Return the plugin files that count and may be executed."""
    return tuple(file for file in _files if file in _executable and may_execute(Path(file.path)))


def plugins_in_use() -> tuple[Plugin, ...]:
    """Return the plugins of installed packages, and those of the files that count. Raises InvalidProject."""
    return (*installed_plugins(), *file_plugins(Path(file.path) for file in files_in_use()))


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""

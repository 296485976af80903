"""The table of readers: those of this package, and after them those of plugins that are in use."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from atlaspatch_core.consent import executes_plugins, may_execute
from atlaspatch_core.plugins.in_use import named_files, plugins_in_use
from atlaspatch_core.plugins.loading import Plugin, installed_plugins
from atlaspatch_core.plugins.source_text import argument, calls_in, name_called
from atlaspatch_core.plugins.tables import PluginTable
from atlaspatch_core.slides.reader_names import READER_NAMES
from atlaspatch_core.slides.readers.plugin_readers import guarded_reader
from atlaspatch_core.slides.readers.reader import Reader

READERS: dict[str, Reader] = {
    name: getattr(import_module(f"{__package__}.{name}"), name.upper()) for name in READER_NAMES
}
"""Those of this package, in the order in which they are asked."""
SUFFIXES = tuple(suffix for reader in READERS.values() for suffix in reader.suffixes)
"""What folders are searched for; lower case, with the dot."""
OF_PLUGINS = PluginTable("READERS", Reader, "a reader")


def all_readers() -> Mapping[str, Reader]:
    """Return all readers by name, in the order in which they are asked: those of plugins after those of this package.

    Raises InvalidProject for a plugin that cannot be used, or that declares a name which is taken.
    """
    of_plugins = _readers_of(plugins_in_use())
    return {**READERS, **of_plugins} if of_plugins else READERS


def installed_readers() -> Mapping[str, Reader]:
    """Return the readers that need no plugin file, by name."""
    return {**READERS, **_readers_of(installed_plugins())}


def reader_suffixes() -> tuple[str, ...]:
    """Return what folders are searched for: ``SUFFIXES``, and those of plugins.

    Where no plugin file may be executed, what its text says of them counts.
    """
    of_plugins = [suffix for reader in all_readers().values() if reader.plugin for suffix in reader.suffixes]
    unread = [path for path in named_files() if not may_execute(path)]
    of_plugins += [suffix for path in unread for suffix in _written_suffixes(path)]
    return tuple(dict.fromkeys((*SUFFIXES, *of_plugins))) if of_plugins else SUFFIXES


@lru_cache(maxsize=8)
def _readers_of(plugins: tuple[Plugin, ...]) -> dict[str, Reader]:
    return {name: guarded_reader(reader) for name, reader in OF_PLUGINS.of_plugins(plugins, READERS).items()}


def needs_plugin_file(path: Path) -> bool:
    """Tell whether a file has no suffix that a reader of ours or of an installed package opens, and none is executed.

    Commands that only look at results open no such slide.
    """
    if executes_plugins() or path.is_dir():
        return False
    suffixes = tuple(suffix for reader in installed_readers().values() for suffix in reader.suffixes)
    return not path.name.lower().endswith(suffixes)


def _written_suffixes(path: Path) -> Iterator[str]:
    """Yield the suffixes that a plugin file writes out where it declares a reader."""
    for call in calls_in(path):
        suffixes = argument(call, "suffixes", 1) if name_called(call) == Reader.__name__ else ()
        yield from (suffix.lower() for suffix in suffixes or () if isinstance(suffix, str) and suffix.startswith("."))

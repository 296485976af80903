"""The code of plugins: Python files that somebody names, and modules of installed packages.

A plugin declares things in tables, iterables by the names of ``TABLES``, or has AtlasPatch's hook
``register_feature_extractors(registry, device, dtype, num_workers)``. Its code is executed.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import RLock
from types import ModuleType

from atlaspatch_core.consent import SourceLoader, may_execute
from atlaspatch_core.errors import AtlasPatchError, InvalidProject
from atlaspatch_core.plugins.custom_encoders import helper_of_atlaspatch
from atlaspatch_core.plugins.foreign_code import foreign_exit, is_foreign_exit, place_of

TABLES = ("PATCH_ENCODERS", "SLIDE_ENCODERS", "SEGMENTERS", "READERS", "EXPORTS")
"""What a plugin may declare; one plugin may declare several kinds."""
HOOK = "register_feature_extractors"
GROUPS = ("atlaspatch.plugins", "atlaspatch.encoders")
"""Groups of entry points of installed packages; each names a module like a plugin file. The second is the former."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """Code that was executed, and what it declares."""

    origin: str
    """Path of its file, or name and module of its entry point."""
    digest: str
    """sha256 of its file: what the fingerprints of its things hold."""
    module: ModuleType = field(compare=False)
    tables: Mapping[str, tuple[object, ...]] = field(compare=False)
    """What it declares, as it is, by the names of ``TABLES``."""


def installed_plugins() -> tuple[Plugin, ...]:
    """Return the plugins of installed packages, by the names of their entry points. Raises InvalidProject."""
    return tuple(map(_installed_plugin, _entries(tuple(sys.path))))


def file_plugins(paths: Iterable[Path]) -> tuple[Plugin, ...]:
    """Return the plugins of Python files, in their order; each is executed once while its content stays the same.

    Raises InvalidProject for a file that is not there, fails, or declares nothing; and for any in a command that only
    reads results.
    """
    return tuple(file_plugin(Path(path)) for path in paths)


def file_plugin(path: Path) -> Plugin:
    """Return the plugin of one Python file, as ``file_plugins`` does."""
    source = _read(path)
    if not may_execute(path):
        raise InvalidProject(f"the plugin {path} is not executed by a command that only reads results")
    digest = sha256(source).hexdigest()
    name = f"atlaspatch_plugin_{digest[:16]}"
    return _loaded_once(str(path), (str(path.absolute()), digest), lambda: _execute(path, name))


class Blaming:
    """Turns whatever a plugin's code raises into one sentence that names the plugin."""

    def __init__(self, origin: str, what: str) -> None:
        self.origin = f"the plugin {origin}"
        self.text = f"{self.origin} {what}"

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, AtlasPatchError):
            return
        if is_foreign_exit(error):
            raise foreign_exit(self.origin, error) from error
        if isinstance(error, Exception):
            raise InvalidProject(f"{self.text}: {type(error).__name__}: {error}{place_of(error)}") from error


_loaded: dict[tuple[str, str], Plugin] = {}
"""By absolute path, or origin, and sha256."""
_loading = RLock()


@cache
def _entries(search_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:  # noqa: ARG001 - another path, another answer
    """Return the entry points that packages on the path declare; the search reads a file of every package."""
    declared = entry_points()
    entries = [entry for group in GROUPS for entry in declared.select(group=group)]
    modules = {entry.module: entry for entry in reversed(entries)}
    return tuple(sorted(modules.values(), key=lambda entry: entry.name))


def _installed_plugin(entry: EntryPoint) -> Plugin:
    origin = f"{entry.name} ({entry.value})"
    with Blaming(origin, "fails when it is imported"):
        module = importlib.import_module(entry.module)
    source = Path(module.__file__ or "")
    content = source.read_bytes() if source.is_file() else origin.encode()
    return _loaded_once(origin, (origin, sha256(content).hexdigest()), lambda: module)


def _loaded_once(origin: str, key: tuple[str, str], load: Callable[[], ModuleType]) -> Plugin:
    with _loading:
        if key not in _loaded:
            module = load()
            _loaded[key] = Plugin(origin, key[1], module, _declared(module, origin))
        return _loaded[key]


def _declared(module: ModuleType, origin: str) -> dict[str, tuple[object, ...]]:
    """Return what a module declares. Raises InvalidProject where that is nothing, or cannot be listed."""
    tables = {}
    for table in TABLES:
        with Blaming(origin, f"fails when its {table} are listed"):
            tables[table] = tuple(getattr(module, table, ()))
    if not callable(getattr(module, HOOK, None)) and not any(tables.values()):
        raise InvalidProject(f"the plugin {origin} has none of {', '.join(TABLES)} and no {HOOK}(); add one")
    return tables


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidProject(f"the plugin {path} cannot be read: {error.strerror}; correct its path") from error


def _execute(path: Path, name: str) -> ModuleType:
    """Return the file as a module: the one place where code that somebody named is executed."""
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceLoader(name, str(path)))
    if spec is None or spec.loader is None or path.suffix != ".py":
        raise InvalidProject(f"the plugin {path} is no Python file; name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses of the plugin look their module up there
    with Blaming(str(path), "fails when it is loaded"), helper_of_atlaspatch():
        spec.loader.exec_module(module)
    return module

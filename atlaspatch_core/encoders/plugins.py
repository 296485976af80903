"""Encoders from the user's own Python files, and from installed packages.

A plugin declares ``PATCH_ENCODERS`` or ``SLIDE_ENCODERS``, iterables of declarations, or has AtlasPatch's hook
``register_feature_extractors(registry, device, dtype, num_workers)``. Its code is executed.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from atlaspatch_core.consent import SourceLoader, executes_plugins
from atlaspatch_core.encoders.custom_encoders import helper_of_atlaspatch
from atlaspatch_core.encoders.declaration import NO_PLUGINS, PatchEncoder, Plugins, Precision, SlideEncoder
from atlaspatch_core.encoders.devices import device_or_cpu, effective_precision
from atlaspatch_core.encoders.extractor import Extractor, Registry
from atlaspatch_core.encoders.foreign_code import foreign_exit, is_foreign_exit, place_of
from atlaspatch_core.encoders.names import by_any_name
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS
from atlaspatch_core.encoders.weights import BuiltIn
from atlaspatch_core.errors import AtlasPatchError, InvalidProject

HOOK = "register_feature_extractors"
Encoder = TypeVar("Encoder", PatchEncoder, SlideEncoder)


GROUP = "atlaspatch.encoders"
"""Group of entry points by which an installed package declares encoders; each names a module like a plugin file."""


def all_plugins(
    paths: Iterable[Path] = (), *, device: str = "cpu", precision: Precision = "float32", num_workers: int = 0
) -> Plugins:
    """Return the encoders of installed packages and of plugin files, as ``load_plugins`` does."""
    installed = installed_plugins(device=device, precision=precision, num_workers=num_workers)
    files = load_plugins(paths, installed=installed, device=device, precision=precision, num_workers=num_workers)
    return Plugins({**installed.patch, **files.patch}, {**installed.slide, **files.slide})


def installed_plugins(*, device: str = "cpu", precision: Precision = "float32", num_workers: int = 0) -> Plugins:
    """Return the encoders of installed packages; each carries the sha256 of its module's file."""
    plugins = NO_PLUGINS
    for entry in _entries(tuple(sys.path)):
        origin = f"{entry.name} ({entry.value})"
        with _Blaming(origin, "fails when it is imported"):
            module = importlib.import_module(entry.module)
        source = Path(module.__file__ or "")
        digest = sha256(source.read_bytes()).hexdigest() if source.is_file() else sha256(origin.encode()).hexdigest()
        plugins = _join_plugins(plugins, _declared(module, origin, digest, device, precision, num_workers), origin)
    return plugins


@cache
def _entries(search_path: tuple[str, ...]) -> tuple[EntryPoint, ...]:  # noqa: ARG001 - another path, another answer
    """Return the entry points that packages on the path declare; the search reads a file of every package."""
    return tuple(sorted(entry_points(group=GROUP), key=lambda entry: entry.name))


def load_plugins(
    paths: Iterable[Path],
    *,
    installed: Plugins = NO_PLUGINS,
    device: str = "cpu",
    precision: Precision = "float32",
    num_workers: int = 0,
) -> Plugins:
    """Return the encoders of all plugin files; each carries the sha256 of its file.

    ``device``, ``precision`` and ``num_workers`` are what the hook is told. Raises InvalidProject for a file that is
    not there, fails, declares nothing, or declares a name that is taken, also by one of ``installed``.
    """
    plugins = installed
    for path in map(Path, paths):
        plugin = load_plugin(path, device=device, precision=precision, num_workers=num_workers)
        plugins = _join_plugins(plugins, plugin, str(path))
    return Plugins(
        {name: encoder for name, encoder in plugins.patch.items() if name not in installed.patch},
        {name: encoder for name, encoder in plugins.slide.items() if name not in installed.slide},
    )


def load_plugin(path: Path, *, device: str = "cpu", precision: Precision = "float32", num_workers: int = 0) -> Plugins:
    """Return the encoders of one plugin file, as ``load_plugins`` does."""
    source = _read(path)
    digest = sha256(source).hexdigest()
    module = _execute(path, f"atlaspatch_plugin_{digest[:16]}")
    return _declared(module, str(path), digest, device, precision, num_workers)


def _declared(
    module: ModuleType, origin: str, digest: str, device: str, precision: Precision, num_workers: int
) -> Plugins:
    hook = getattr(module, HOOK, None)
    with _Blaming(origin, "fails when its encoders are listed"):
        declared = [*getattr(module, "PATCH_ENCODERS", ()), *getattr(module, "SLIDE_ENCODERS", ())]
    if not callable(hook) and not declared:
        raise InvalidProject(f"the plugin {origin} has neither PATCH_ENCODERS nor SLIDE_ENCODERS nor {HOOK}(); add one")
    if callable(hook):
        declared += _from_hook(hook, origin, device, precision, num_workers)
    return _checked([_with_plugin(encoder, origin, digest) for encoder in declared], origin)


def _join_plugins(plugins: Plugins, more: Plugins, origin: str) -> Plugins:
    patch, slide = dict(plugins.patch), dict(plugins.slide)
    for encoder in more.patch.values():
        patch[_with_free_name(encoder, origin, {**PATCH_ENCODERS, **patch}).name] = encoder
    for encoder in more.slide.values():
        slide[_with_free_name(encoder, origin, {**SLIDE_ENCODERS, **slide}).name] = encoder
    return Plugins(patch, slide)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidProject(f"the plugin {path} cannot be read: {error.strerror}; correct its path") from error


def _execute(path: Path, name: str) -> ModuleType:
    """Return the file as a module: the one place where code that somebody named is executed."""
    if not executes_plugins():
        raise InvalidProject(f"the plugin {path} is not executed by a command that only reads results")
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceLoader(name, str(path)))
    if spec is None or spec.loader is None or path.suffix != ".py":
        raise InvalidProject(f"the plugin {path} is no Python file; name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses of the plugin look their module up there
    with _Blaming(str(path), "fails when it is loaded"), helper_of_atlaspatch():
        spec.loader.exec_module(module)
    return module


def _from_hook(
    hook: Callable[..., Any], origin: str, device: str, precision: Precision, num_workers: int
) -> Iterator[PatchEncoder]:
    import torch

    registry, where = Registry(), device_or_cpu(device)
    how = effective_precision(precision, where)
    with _Blaming(origin, f"fails in {HOOK}()"), helper_of_atlaspatch():
        hook(registry=registry, device=where, dtype=getattr(torch, how), num_workers=num_workers)
    for name, builder in registry.as_mapping().items():
        yield PatchEncoder(
            name=name,
            architecture=Extractor(name, builder),
            source=BuiltIn(),
            dim=None,
            transform=None,
            precision=precision,
            license="that of the plugin",
            note=f"From the plugin {Path(origin).name}.",
        )


class _Blaming:
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


def _with_plugin(encoder: object, origin: str, digest: str) -> PatchEncoder | SlideEncoder:
    if isinstance(encoder, PatchEncoder | SlideEncoder):
        return replace(encoder, plugin=digest)
    raise InvalidProject(f"the plugin {origin} declares {encoder!r}, which is no PatchEncoder or SlideEncoder")


def _checked(encoders: list[PatchEncoder | SlideEncoder], origin: str) -> Plugins:
    patch: dict[str, PatchEncoder] = {}
    slide: dict[str, SlideEncoder] = {}
    for encoder in encoders:
        if isinstance(encoder, PatchEncoder):
            patch[_with_free_name(encoder, origin, patch).name] = encoder
        else:
            slide[_with_free_name(encoder, origin, slide).name] = encoder
    return Plugins(patch, slide)


def _with_free_name(encoder: Encoder, origin: str, encoders: dict[str, Encoder]) -> Encoder:
    """Return the encoder; raises InvalidProject when one of its names is taken."""
    for word in (encoder.name, *encoder.aliases):
        if word.lower() in by_any_name(encoders):
            raise InvalidProject(
                f"the plugin {origin} declares {word}, and there is an encoder of that name; rename it"
            )
    return encoder

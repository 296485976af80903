"""Encoders from the user's own Python files, and from installed packages.

A plugin declares ``PATCH_ENCODERS`` or ``SLIDE_ENCODERS``, iterables of declarations, or has AtlasPatch's hook
``register_feature_extractors(registry, device, dtype, num_workers)``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from atlaspatch_core.encoders.declaration import NO_PLUGINS, PatchEncoder, Plugins, Precision, SlideEncoder
from atlaspatch_core.encoders.devices import device_or_cpu, effective_precision
from atlaspatch_core.encoders.extractor import Extractor, Registry
from atlaspatch_core.encoders.names import by_any_name
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS
from atlaspatch_core.encoders.weights import BuiltIn
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.plugins import loading
from atlaspatch_core.plugins.custom_encoders import helper_of_atlaspatch
from atlaspatch_core.plugins.loading import HOOK, Blaming, Plugin, file_plugin

Encoder = TypeVar("Encoder", PatchEncoder, SlideEncoder)


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
    for plugin in loading.installed_plugins():
        plugins = join_plugins(
            plugins, _declared(plugin, device, precision, num_workers), f"the plugin {plugin.origin}"
        )
    return plugins


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
        plugins = join_plugins(plugins, plugin, f"the plugin {path}")
    return Plugins(
        {name: encoder for name, encoder in plugins.patch.items() if name not in installed.patch},
        {name: encoder for name, encoder in plugins.slide.items() if name not in installed.slide},
    )


def load_plugin(path: Path, *, device: str = "cpu", precision: Precision = "float32", num_workers: int = 0) -> Plugins:
    """Return the encoders of one plugin file, as ``load_plugins`` does."""
    return _declared(file_plugin(path), device, precision, num_workers)


def _declared(plugin: Plugin, device: str, precision: Precision, num_workers: int) -> Plugins:
    declared = [*plugin.tables["PATCH_ENCODERS"], *plugin.tables["SLIDE_ENCODERS"]]
    declared += _from_hook(plugin, device, precision, num_workers)
    encoders = [_with_plugin(encoder, plugin) for encoder in declared]
    return _checked([each for encoder in encoders for each in _each_output(encoder)], f"the plugin {plugin.origin}")


def _each_output(encoder: PatchEncoder | SlideEncoder) -> tuple[PatchEncoder | SlideEncoder, ...]:
    return encoder.each_output() if isinstance(encoder, PatchEncoder) else (encoder,)


def join_plugins(plugins: Plugins, more: Plugins, whose: str) -> Plugins:
    """Return both; raises InvalidProject, which begins with ``whose``, where a name of ``more`` is taken."""
    patch, slide = dict(plugins.patch), dict(plugins.slide)
    for encoder in more.patch.values():
        patch[_with_free_name(encoder, whose, {**PATCH_ENCODERS, **patch}).name] = encoder
    for encoder in more.slide.values():
        slide[_with_free_name(encoder, whose, {**SLIDE_ENCODERS, **slide}).name] = encoder
    return Plugins(patch, slide)


def _from_hook(plugin: Plugin, device: str, precision: Precision, num_workers: int) -> Iterator[PatchEncoder]:
    if not callable(hook := getattr(plugin.module, HOOK, None)):
        return
    import torch

    registry, where = Registry(), device_or_cpu(device)
    how = effective_precision(precision, where)
    with Blaming(plugin.origin, f"fails in {HOOK}()"), helper_of_atlaspatch():
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
            note=f"From the plugin {Path(plugin.origin).name}.",
        )


def _with_plugin(encoder: object, plugin: Plugin) -> PatchEncoder | SlideEncoder:
    if isinstance(encoder, PatchEncoder | SlideEncoder):
        return replace(encoder, plugin=plugin.digest)
    raise InvalidProject(f"the plugin {plugin.origin} declares {encoder!r}, which is no PatchEncoder or SlideEncoder")


def _checked(encoders: list[PatchEncoder | SlideEncoder], whose: str) -> Plugins:
    patch: dict[str, PatchEncoder] = {}
    slide: dict[str, SlideEncoder] = {}
    for encoder in encoders:
        if isinstance(encoder, PatchEncoder):
            patch[_with_free_name(encoder, whose, patch).name] = encoder
        else:
            slide[_with_free_name(encoder, whose, slide).name] = encoder
    return Plugins(patch, slide)


def _with_free_name(encoder: Encoder, whose: str, encoders: dict[str, Encoder]) -> Encoder:
    """Return the encoder; raises InvalidProject when one of its names is taken."""
    for word in (encoder.name, *encoder.aliases):
        if word.lower() in by_any_name(encoders):
            raise InvalidProject(f"{whose} declares {word}, and there is an encoder of that name; rename it")
    return encoder

"""The encoders of plugins for who only looks at results: taken from what is recorded, and no plugin is executed."""

import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from atlaspatch_core.config.project import Project
from atlaspatch_core.encoders.declaration import PatchEncoder, Plugins, SlideEncoder
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.recorded import (
    of_plugin,
    recorded_patch_encoder,
    recorded_slide_encoder,
    unrecorded_patch_encoder,
    unrecorded_slide_encoder,
)
from atlaspatch_core.encoders.slide import FOR_EVERY_PATCH_ENCODER, find_slide_encoder
from atlaspatch_core.errors import AtlasPatchError, UnknownName
from atlaspatch_core.fingerprint import is_unverified
from atlaspatch_core.storage.hdf5 import StoredResult
from atlaspatch_core.storage.schema import FEATURES, SLIDE_FEATURES
from atlaspatch_core.storage.store import Store

LARGEST_PLUGIN = 16 << 20
"""Bytes of a file that is still taken for a plugin."""
MOST_READ = 20
"""Results of an encoder, the latest first, among which one of its plugin as it is now is looked for."""

Encoder = TypeVar("Encoder", PatchEncoder, SlideEncoder)
Make = Callable[[dict[str, Any], int | None], Encoder]


def recorded_plugins(project: Project, installed: Plugins) -> Plugins:
    """Return the encoders that the plugin files of a project declare, as results in its output folder record them.

    An encoder without a result is known by its name alone. Where a plugin file has changed since, the encoder has the
    sha256 of the file as it is now, and results of before are stale.
    """
    if not project.plugins:
        return installed
    records = RecordedEncoders(project, tuple(plugin_digests(project.plugins)))
    slide = {encoder.name: encoder for encoder in _slide_encoders(project, installed, records)}
    names = [*_patch_names(project), *(name for encoder in slide.values() for name in encoder.patch_encoders)]
    unknown = _unknown(names, lambda name: find_patch_encoder(name, project.weights, installed))
    patch = {encoder.name: encoder for encoder in map(records.patch_encoder, unknown) if encoder}
    return Plugins({**installed.patch, **patch}, {**installed.slide, **slide})


def plugin_digests(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the sha256 of every plugin file that is still there; nothing that cannot be one is read."""
    for path in paths:
        try:
            status = path.stat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_PLUGIN:
                with path.open("rb") as file:
                    yield file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError):  # moved or removed since, or no path at all
            continue


@dataclass(frozen=True, slots=True)
class RecordedEncoders:
    """Finds in the output folder what results say of their encoders."""

    project: Project
    digests: Sequence[str]
    """sha256 of the plugin files as they are now."""

    def patch_encoder(self, name: str) -> PatchEncoder | None:
        """Return the encoder of a name; None for a name that none can have."""
        recorded = self._find(FEATURES, name, recorded_patch_encoder)
        return recorded or _if_possible(lambda: unrecorded_patch_encoder(name, self._latest))

    def slide_encoder(self, name: str, patch_encoder: str) -> SlideEncoder | None:
        """Return the same of a slide encoder; without a result, it is said to take the features ``patch_encoder``."""
        recorded = self._find(SLIDE_FEATURES, name, recorded_slide_encoder)
        return recorded or _if_possible(lambda: unrecorded_slide_encoder(name, patch_encoder, self._latest))

    def named_for_patches(self, name: str) -> SlideEncoder | None:
        """Return a slide encoder that a plugin calls such as ``max-colour``; None where the latest result is ours."""
        of_plugin = list(self._encoders(SLIDE_FEATURES, name, recorded_slide_encoder, most=1))
        return self._find(SLIDE_FEATURES, name, recorded_slide_encoder) if of_plugin else None

    @property
    def _latest(self) -> str | None:
        return self.digests[-1] if self.digests else None

    def _find(self, group: str, name: str, make: Make[Encoder]) -> Encoder | None:
        """Return the encoder of the latest result of its plugin as it is now, else of the latest result."""
        latest = None
        for read, encoder in enumerate(self._encoders(group, name, make)):
            if not self.digests or encoder.plugin in self.digests:
                return encoder
            latest = latest or of_plugin(encoder, self.digests[-1])
            if read >= MOST_READ:
                break
        return latest

    def _encoders(self, group: str, name: str, make: Make[Encoder], most: int | None = None) -> Iterator[Encoder]:
        """Yield what results, or so many of them, say of an encoder, those in the latest files first."""
        for result in islice(_results(self.project, f"{group}/{name}".lower()), most):
            try:
                identity = result.identity
                if identity and not is_unverified(identity) and identity.spec["plugin"]:
                    yield make(dict(identity.spec), result.shape[-1])
            except (AtlasPatchError, KeyError, TypeError, ValueError, AttributeError, OSError):
                continue  # what a result of ours does not say


def _slide_encoders(project: Project, installed: Plugins, records: RecordedEncoders) -> Iterator[SlideEncoder]:
    """Yield the slide encoders that nobody else declares; those of any patch encoder follow from that."""
    for geometry in project.geometry:
        unknown = _unknown(geometry.slide_encoders, lambda name: find_slide_encoder(name, project.weights, installed))
        for name in unknown:
            first = geometry.patch_encoders[0] if geometry.patch_encoders else name
            encoder = records.named_for_patches(name) if _patch_name(name) else records.slide_encoder(name, first)
            if encoder:
                yield encoder


def _patch_names(project: Project) -> list[str]:
    """Return the patch encoders that a project names, be it as a part of the names of others."""
    direct = [name for geometry in project.geometry for name in geometry.patch_encoders]
    slide = [name for geometry in project.geometry for name in geometry.slide_encoders]
    return [*direct, *filter(None, map(_patch_name, (*slide, *project.patients.encoders)))]


def _patch_name(slide_encoder: str) -> str:
    """Return the patch encoder that a slide encoder of any patch encoder is named for; empty for others."""
    prefixes = [prefix for prefix in FOR_EVERY_PATCH_ENCODER if slide_encoder.lower().startswith(prefix)]
    return slide_encoder[len(prefixes[0]) :] if prefixes else ""


def _unknown(names: Iterable[str], find: Callable[[str], object]) -> list[str]:
    unknown = []
    for name in dict.fromkeys(names):
        try:
            find(name)
        except UnknownName:
            unknown.append(name)
    return unknown


def _results(project: Project, dataset: str) -> Iterator[StoredResult]:
    """Yield the results of a name, in any case of letters, the latest files first."""
    store = Store(project.output)
    files = [
        (status.st_mtime_ns, stem, geometry.name)
        for geometry in project.geometry
        for stem, status in store.results(geometry.name).items()
    ]
    for _, stem, geometry in sorted(files, reverse=True):
        try:
            results = store.stored_results(stem, geometry)
        except AtlasPatchError:
            continue
        yield from (result for name, result in results.items() if name.lower() == dataset)


def _if_possible(make: Callable[[], Encoder]) -> Encoder | None:
    try:
        return make()
    except ValueError:
        return None

"""The encoders of plugins for who only looks at results: taken from what is recorded, and no plugin is executed."""

import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.encoders.declaration import Plugins, SlideEncoder
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.slide import FOR_EVERY_PATCH_ENCODER, find_slide_encoder
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.noted_encoders import NotedEncoders
from atlaspatch_core.validity.recorded_encoders import RecordedEncoders

LARGEST_PLUGIN = 16 << 20
"""Bytes of a file that is still taken for a plugin."""


def recorded_plugins(project: Project, installed: Plugins) -> Plugins:
    """Return the encoders that the plugin files of a project declare, as its output folder records them.

    Results tell what they are, and notes of runs what they are called. An encoder without either is known by its name
    alone. Where a plugin file has changed since, the encoder has the sha256 of the file as it is now, and results of
    before are stale.
    """
    if not project.plugins:
        return installed
    digests = tuple(plugin_digests(project.plugins))
    noted = NotedEncoders.read(Store(project.output), digests, installed)
    records = RecordedEncoders(project, digests, noted)
    slide = {encoder.name: encoder for encoder in _slide_encoders(project, installed, records)}
    names = [*_patch_names(project), *(name for encoder in slide.values() for name in encoder.patch_encoders)]
    unknown = _unknown(names, lambda name: find_patch_encoder(name, project.weights, installed))
    encoders = [encoder for name in unknown for encoder in records.patch_encoders(name)]
    patch = {encoder.name: encoder for encoder in {one.name.lower(): one for one in reversed(encoders)}.values()}
    patch = {**installed.patch, **noted.stand_ins.patch, **patch}
    slide = {name: _taking_canonical(encoder, Plugins(patch)) for name, encoder in slide.items()}
    return Plugins(patch, {**installed.slide, **noted.stand_ins.slide, **slide})


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


def _slide_encoders(project: Project, installed: Plugins, records: RecordedEncoders) -> Iterator[SlideEncoder]:
    """Yield the slide encoders that nobody else declares; those of any patch encoder follow from that."""
    for geometry in project.geometry:
        unknown = _unknown(geometry.slide_encoders, lambda name: find_slide_encoder(name, project.weights, installed))
        for name in unknown:
            first = geometry.patch_encoders[0] if geometry.patch_encoders else name
            encoder = records.named_for_patches(name) if _patch_name(name) else records.slide_encoder(name, first)
            if encoder:
                yield encoder


def _taking_canonical(encoder: SlideEncoder, plugins: Plugins) -> SlideEncoder:
    """Return a slide encoder that takes features by their own name, where it is only said which it takes."""
    try:
        return replace(encoder, patch_encoder=find_patch_encoder(encoder.patch_encoder, {}, plugins).name)
    except UnknownName:
        return encoder


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

"""Encoders of plugin files by every name that their files give them, as runs noted it beside results."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from atlaspatch_core.encoders.declaration import PatchEncoder, Plugins, SlideEncoder
from atlaspatch_core.encoders.names import by_any_name
from atlaspatch_core.encoders.patch import OF, PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.recorded import unrecorded_patch_encoder, unrecorded_slide_encoder
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.storage.plugin_names import NamedEncoder, noted_names
from atlaspatch_core.storage.store import Store

Encoder = TypeVar("Encoder", PatchEncoder, SlideEncoder)


@dataclass(frozen=True, slots=True)
class NotedEncoders:
    """Stand-ins for encoders that are known by their names."""

    stand_ins: Plugins
    digests: frozenset[str]
    """sha256 of the plugin files of which names were noted."""
    are_complete: bool
    """Whether names were noted of all plugin files, as they are now."""
    installed: Plugins

    @classmethod
    def read(cls, store: Store, digests: Sequence[str], installed: Plugins) -> Self:
        """Return what runs noted of plugin files with these sha256, which are those that they have now.

        Where one was not noted, as it changed since, the names that it had before count too.
        """
        notes = noted_names(store)
        are_complete = bool(digests) and notes.keys() >= set(digests)
        former = () if are_complete else [digest for digest in notes if digest not in digests]
        encoders = {digest: notes[digest] for digest in (*digests, *former) if digest in notes}
        return cls(_stand_ins(encoders, installed), frozenset(notes), are_complete, installed)

    def patch_encoder(self, name: str) -> PatchEncoder | None:
        """Return what stands for the patch encoder of a name, an alias or ``<name>:<output>``; None without a note."""
        try:
            return self.stand_ins.patch.get(find_patch_encoder(name, {}, self.stand_ins).name)
        except UnknownName:
            return None

    def slide_encoder(self, name: str) -> SlideEncoder | None:
        """Return what stands for the slide encoder of a name or an alias; None without a note."""
        return by_any_name(self.stand_ins.slide).get(name.lower())

    def lacks_output(self, name: str) -> bool:
        """Tell whether a name is that of a known network and of an output that it is known not to have."""
        network, _, output = name.partition(OF)
        plugins = self.installed if not self.are_complete else _joined(self.installed, self.stand_ins)
        try:
            return bool(output) and bool(find_patch_encoder(network, {}, plugins))
        except UnknownName:
            return False

    def unnoted_patch_encoders(self, name: str, plugin: str | None, doubt: str) -> list[PatchEncoder]:
        """Return what stands for a patch encoder of which nothing is noted: for ``<name>:<output>`` its network, too.

        Nobody knows what the results of that output will be called: here it is ``<name>.<output>``. Raises ValueError
        for what can be no name.
        """
        encoder = unrecorded_patch_encoder(name.replace(OF, "."), plugin, doubt)
        network, _, output = name.partition(OF)
        if not output:
            return [encoder]
        whole = self.patch_encoder(network) or unrecorded_patch_encoder(network, plugin, doubt)
        whole = whole.whole or whole
        return [whole, replace(encoder, output=output.lower(), whole=whole)]


def with_noted_names(encoder: Encoder, stand_in: Encoder) -> Encoder:
    """Return a recorded encoder with the names of what stands for it."""
    if isinstance(stand_in, PatchEncoder):
        return replace(encoder, aliases=stand_in.aliases, output=stand_in.output, whole=stand_in.whole)
    return replace(encoder, aliases=stand_in.aliases)


def _joined(plugins: Plugins, more: Plugins) -> Plugins:
    return Plugins({**plugins.patch, **more.patch}, {**plugins.slide, **more.slide})


def _stand_ins(notes: Mapping[str, Iterable[NamedEncoder]], installed: Plugins) -> Plugins:
    """Return what stands for encoders, by name; of two notes of a name the first counts, and none of a taken one."""
    taken_patch = by_any_name({**PATCH_ENCODERS, **installed.patch})
    taken_slide = by_any_name({**SLIDE_ENCODERS, **installed.slide})
    patch: dict[str, PatchEncoder] = {}
    slide: dict[str, SlideEncoder] = {}
    for digest, encoders in reversed(tuple(notes.items())):
        for named in encoders:
            try:
                if named.takes:
                    _add(slide, _slide_stand_in(named, digest), taken_slide)
                else:
                    _add(patch, _patch_stand_in(named, digest), taken_patch)
            except ValueError:  # what can be no name
                continue
    return Plugins(patch, slide)


def _add(encoders: dict[str, Encoder], encoder: Encoder, names: Mapping[str, object]) -> None:
    if not any(word.lower() in names for word in (encoder.name, *encoder.aliases)):
        encoders.pop(encoder.name, None)  # the latest comes last, so that its aliases are those that count
        encoders[encoder.name] = encoder


def _patch_stand_in(named: NamedEncoder, digest: str) -> PatchEncoder:
    whole = unrecorded_patch_encoder(named.network, digest) if named.network else None
    encoder = unrecorded_patch_encoder(named.name, digest)
    return replace(encoder, aliases=named.aliases, output=named.output, whole=whole)


def _slide_stand_in(named: NamedEncoder, digest: str) -> SlideEncoder:
    first, *further = named.takes
    encoder = unrecorded_slide_encoder(named.name, first, digest)
    return replace(encoder, aliases=named.aliases, further_patch_encoders=tuple(further))

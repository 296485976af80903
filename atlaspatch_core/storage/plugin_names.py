"""What encoders of plugin files are called, noted beside results: whoever looks at them executes no plugin file."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from atlaspatch_core.encoders.declaration import PatchEncoder, Plugins, SlideEncoder
from atlaspatch_core.storage.atomic import replacing, slide_lock
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.store import Store
from atlaspatch_core.texts import parse_json


@dataclass(frozen=True, slots=True)
class NamedEncoder:
    """What an encoder of a plugin file is called; it decides no number, and is part of no fingerprint."""

    name: str
    aliases: tuple[str, ...]
    output: str = ""
    """What is taken of its network, of an encoder of patches."""
    network: str = ""
    """Name of the encoder whose network gives this further output."""
    takes: tuple[str, ...] = ()
    """Patch encoders whose features it takes, of an encoder of slides."""

    @classmethod
    def of(cls, encoder: PatchEncoder | SlideEncoder) -> Self:
        """Return what a declared encoder is called."""
        if isinstance(encoder, SlideEncoder):
            return cls(encoder.name, encoder.aliases, takes=encoder.patch_encoders)
        return cls(encoder.name, encoder.aliases, encoder.output, encoder.network)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read back what was noted. Raises KeyError, TypeError, AttributeError for anything else."""
        name, output, network = (str(values[key]) for key in ("name", "output", "network"))
        aliases, takes = (tuple(map(str, values[key])) for key in ("aliases", "takes"))
        return cls(name, aliases, output, network, takes)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "output": self.output,
            "network": self.network,
            "takes": list(self.takes),
        }


def note_names(store: Store, plugins: Plugins, digests: Collection[str]) -> None:
    """Note what the encoders of the plugin files with these sha256 are called; written where that is news.

    Raises UnwritableOutput, and OSError where what is noted cannot be read.
    """
    declared = (*plugins.patch.values(), *plugins.slide.values())
    for digest in dict.fromkeys(digests):
        encoders = [NamedEncoder.of(encoder).as_json() for encoder in declared if encoder.plugin == digest]
        path, text = store.plugin_names(digest), json.dumps(encoders, indent=1)
        if not path.exists() or path.read_text() != text:
            with slide_lock(store.output, digest), replacing(path, digest) as temporary:
                temporary.write_text(text)


def noted_names(store: Store) -> dict[str, tuple[NamedEncoder, ...]]:
    """Return what encoders are called, by the sha256 of their plugin file; the latest note comes first.

    What cannot be read is no note.
    """
    files = list_files(store.plugin_names("any").parent, ".json")
    latest_first = sorted(files, key=lambda digest: files[digest].st_mtime_ns, reverse=True)
    notes = {digest: _read_note(store, digest) for digest in latest_first}
    return {digest: note for digest, note in notes.items() if note is not None}


def _read_note(store: Store, digest: str) -> tuple[NamedEncoder, ...] | None:
    try:
        return tuple(map(NamedEncoder.from_json, parse_json(store.plugin_names(digest).read_bytes())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

"""Slides whose reader crashed, noted beside the results: the next run, of whatever command, tries them last."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from atlaspatch_core.storage.atomic import replacing, slide_lock
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.store import Store
from atlaspatch_core.texts import parse_json


@dataclass(frozen=True, slots=True)
class CrashNote:
    """What is noted of a slide."""

    signature: str
    """Of its files: of others it says nothing."""
    times: int
    """How often it crashed."""
    last: str
    """How, the last time: a clause."""


def read_crash_notes(store: Store) -> Mapping[str, CrashNote]:
    """Return stem to what is noted; what cannot be read is no note."""
    notes = {stem: _read_note(store, stem) for stem in list_files(store.crash_note("any").parent, ".json")}
    return {stem: note for stem, note in notes.items() if note}


def note_crash(store: Store, stem: str, signature: str, how: str) -> int:
    """Note that a slide crashed; return how often these files of it did. Raises UnwritableOutput."""
    with slide_lock(store.output, stem):
        before = _read_note(store, stem)
        times = before.times + 1 if before and before.signature == signature else 1
        with replacing(store.crash_note(stem), stem) as temporary:
            temporary.write_text(json.dumps(asdict(CrashNote(signature, times, how)), indent=1, ensure_ascii=False))
    return times


def forget_crash(store: Store, stem: str) -> None:
    """Remove what is noted of a slide that was read to its end."""
    store.crash_note(stem).unlink(missing_ok=True)


def _read_note(store: Store, stem: str) -> CrashNote | None:
    try:
        return CrashNote(**parse_json(store.crash_note(stem).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None

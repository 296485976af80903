"""Slides that crash what reads them: told of with a cure, noted on disk, and tried last by the next run."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import KilledReader, UnwritableOutput
from atlaspatch_core.slides.content_hash import file_signature
from atlaspatch_core.storage.crash_notes import note_crash, read_crash_notes
from atlaspatch_core.storage.store import Store
from atlaspatch_core.wording import format_count

log = logging.getLogger(__name__)

OUT_OF_MEMORY = "SIGKILL"
"""What the kernel ends a process by that took too much memory."""


def crashing_last(sources: Iterable[SlideSource], store: Store) -> Iterator[SlideSource]:
    """Yield the slides, and after all others those that crashed before and lie there as they did then.

    Their local copies may be gone by then, so that they are read where they lie.
    """
    notes, crashed = read_crash_notes(store), list[SlideSource]()
    for source in sources:
        note = notes.get(source.stem)
        if note and note.signature == signature_of(source):
            crashed.append(replace(source, local=None))
        else:
            yield source
    yield from crashed


def noted_crash(source: SlideSource, store: Store, crash: KilledReader, reader: str) -> KilledReader:
    """Return what to say of a slide that crashed its ``reader``, after noting it in the output folder."""
    noted = note_clause(source, store, str(crash).removeprefix(f"{source.stem}: "))
    memory = "where memory was short, read fewer slides at once; " if OUT_OF_MEMORY in str(crash) else ""
    whose = f"the project of its reader, {reader}" if reader else "its reader's project"
    cure = f"{memory}export it anew, report it to {whose}, or name another reader (--reader-type)"
    return KilledReader(f"{crash} ({noted}); {cure}")


def note_clause(source: SlideSource, store: Store, how: str) -> str:
    """Note a crash; return how often that happened, and what follows from it, a clause."""
    try:
        times = note_crash(store, source.stem, signature_of(source), how)
    except (OSError, UnwritableOutput) as error:
        log.debug("%s: its crash is not noted: %r", source.stem, error)
        return "which could not be noted"
    return f"{format_count(times, 'time', ',')} so far, and tried last from now on"


def signature_of(source: SlideSource) -> str:
    """Return what changes with the files of a slide; an empty text where they cannot be looked at."""
    try:
        return file_signature(source.path)
    except OSError:
        return ""

"""A sample of the stored results, held against their checksums."""

import random
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import AtlasPatchError, OutputInUse
from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok
from atlaspatch_core.storage.damage import damaged_parts
from atlaspatch_core.storage.last_line import bytes_damage
from atlaspatch_core.storage.store import Store
from atlaspatch_core.wording import format_count

SAMPLE = 8
"""Files that are read at most, other ones every day."""
MOST_BYTES = 2 * 2**30
"""Bytes of files after which no further file is begun."""
SHOWN = 3
"""Damaged files that are told."""


def results(subject: Subject) -> Iterator[DoctorFinding]:
    """Read a few of the stored files and say which are not what was written."""
    if subject.project is None:
        return
    files = _stored_files(subject.project)
    if not files:
        return
    sample = _sample(files)
    damaged = [clause for path in sample if (clause := _damage(subject.project, path))]
    extent = f"{len(sample)} of {format_count(len(files), 'file', ',')} of results"
    if damaged:
        cure = f"run: atlaspatch audit {subject.project.output} --mark-damaged, and then what made the results"
        yield fail("results", f"{len(damaged)} of {extent} damaged: {'; '.join(damaged[:SHOWN])}", cure)
    else:
        yield ok("results", f"{extent} were read, and are what was written")


def _stored_files(project: Project) -> list[Path]:
    store = Store(project.output)
    names = [geometry.name for geometry in project.geometry]
    return [store.h5(stem, name) for name in names for stem in store.results(name)]


def _sample(files: Sequence[Path]) -> list[Path]:
    shuffled = random.Random(date.today().toordinal()).sample(list(files), min(SAMPLE, len(files)))
    read, sample = 0, list[Path]()
    for path in shuffled:
        if read > MOST_BYTES:
            break
        sample.append(path)
        read += path.stat().st_size if path.exists() else 0
    return sample


def _damage(project: Project, path: Path) -> str:
    """Return what of a slide is not what was written: in its file, its record or its outlines."""
    try:
        parts = [f"{name} {clause}".strip() for name, clause in damaged_parts(path).items()]
        parts = parts or list(filter(None, [bytes_damage(path)]))
        Store(project.output).check_outlines(path.stem)
    except OutputInUse:
        return ""
    except AtlasPatchError as error:
        return str(error).partition("; ")[0]
    return f"{path}: {', '.join(parts)}" if parts else ""

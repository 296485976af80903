"""Which files of an output folder travel, in which order, and under which lock each changes."""

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from unicodedata import category

from filelock import FileLock

from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.operations.transfer.manifest import MANIFEST, STAGED_FOLDER
from atlaspatch_core.remote.places import REMOTE_FOLDER, is_usable_key
from atlaspatch_core.slides.readers import READERS, reader_suffixes
from atlaspatch_core.storage.atomic import TEMPORARY, slide_lock
from atlaspatch_core.storage.paths import LOCK_FOLDER, UPLOADS_FOLDER, OutputPaths

OF_MACHINE = {LOCK_FOLDER, REMOTE_FOLDER, UPLOADS_FOLDER, ".index", STAGED_FOLDER}
"""Folders, at any depth, that mean nothing elsewhere: locks, placeholders, caches."""
DRAFT = re.compile(r".+\.json\.\d+")
OF_CASES = "patient_features"


@dataclass(frozen=True, slots=True)
class TravellingFiles:
    """The files of an output folder, by their paths below it."""

    travelling: tuple[str, ...]
    """Those first that others point to."""
    slides: int
    """How many files of slides lie there, which do not travel."""
    unusable: tuple[str, ...]
    """Those whose names can be no keys."""


def list_output(output: Path) -> TravellingFiles:
    """Return the files of an output folder. Links are followed, each folder once. Raises UnreadableOutput."""
    paths = sorted(path for path in _walk(output) if is_of_results(PurePosixPath(path)))
    suffixes = tuple(suffix for suffix in reader_suffixes() if suffix not in READERS["image"].suffixes)
    results = [path for path in paths if not _is_slide(PurePosixPath(path), suffixes)]
    travelling = sorted(filter(can_be_key, results), key=rank)
    unusable = tuple(path for path in results if not can_be_key(path))
    return TravellingFiles(tuple(travelling), len(paths) - len(results), unusable)


def _walk(output: Path) -> Iterator[str]:
    seen: set[str] = set()
    for here, folders, names in os.walk(output, onerror=_raise_unreadable, followlinks=True):
        folders[:] = [name for name in sorted(folders) if name not in OF_MACHINE]
        if (real := os.path.realpath(here)) in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(here, name).relative_to(output).as_posix() for name in names if Path(here, name).is_file())


def _raise_unreadable(error: OSError) -> None:
    raise UnreadableOutput(
        f"{error.filename}: the folder cannot be listed ({error.strerror}); change its permissions and run again"
    ) from error


def is_of_results(path: PurePosixPath) -> bool:
    """Tell whether a file is no lock, cache, placeholder or half-written one, and not the manifest."""
    is_draft = TEMPORARY.fullmatch(path.name) or DRAFT.fullmatch(path.name) or path.name.endswith(".lock")
    return not (OF_MACHINE & set(path.parts) or is_draft or str(path) == MANIFEST)


def _is_slide(path: PurePosixPath, suffixes: tuple[str, ...]) -> bool:
    """Tell whether a file is a slide or part of one; ``suffixes`` are those of slides that are no pictures."""
    return path.name.lower().endswith(suffixes) or any(part.lower().endswith(".zarr") for part in path.parts)


def can_be_key(path: str) -> bool:
    """Tell whether a path can be a key of every store."""
    try:
        return is_usable_key(path) and len(path.encode()) <= 900 and not any(category(one) == "Cc" for one in path)
    except UnicodeEncodeError:
        return False


def rank(path: str) -> int:
    """Return when a file travels: outlines and pictures, coords and features, cases, records, and then runs."""
    pure = PurePosixPath(path)
    folders = set(pure.parts[:-1])
    if not folders or folders & {"runs", "wsi_states"}:
        return 4
    if folders & {"slides", "crashes", ".atlaspatch"}:
        return 3
    return 2 if OF_CASES in folders else int(pure.suffix == ".h5")


def stems_among(paths: Collection[str]) -> frozenset[str]:
    """Return the slides that have records among these files."""
    pure = (PurePosixPath(path) for path in paths)
    return frozenset(path.name.removesuffix(".json") for path in pure if path.parts[:-1] == ("slides",))


def stem_of_result(path: str, stems: Collection[str]) -> str:
    """Return the slide of which a file is, its own name without suffix where that is not known."""
    pure = PurePosixPath(path)
    for name in (pure.name, *reversed(pure.parts[:-1])):
        for end in sorted((match.start() for match in re.finditer(r"[._]|$", name)), reverse=True):
            if name[:end] in stems:
                return name[:end]
    return pure.stem


def lock_of(output: Path, path: str, stems: Collection[str]) -> FileLock:
    """Return the lock under which a file changes."""
    pure = PurePosixPath(path)
    if OF_CASES in pure.parts[:-1]:
        return slide_lock(output / pure.parent, pure.stem)
    return slide_lock(output, stem_of_result(path, stems))


def may_be_removed(path: str) -> bool:
    """Tell whether a file is a result: those beside the folders of results are the project's, but for two."""
    paths = OutputPaths(Path())
    return "/" in path or Path(path) in (paths.summary(), paths.report())

"""Files in the target folder: whole or not there, not written twice, and never over what somebody else put there.

What was written is remembered in ``<target>/.atlaspatch/<stem>.json``: by size and modification time, and by sha256 for
a copy of the folder that kept no times.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.interop.export.values import Artifact, ExportStatus, Placed
from atlaspatch_core.storage.atomic import replacing, replacing_folder, slide_lock
from atlaspatch_core.storage.store import Store
from atlaspatch_core.texts import parse_json


@dataclass(frozen=True, slots=True)
class Mark:
    """A file as it was written."""

    of: str
    """What decided its content, hashed."""
    size: int
    mtime_ns: int
    sha256: str

    def fits(self, path: Path) -> bool:
        """Tell whether this very content lies at ``path``."""
        size, mtime_ns = _size_and_time(path)
        if size != self.size:
            return False
        return mtime_ns == self.mtime_ns or _sha256(path) == self.sha256


Marks = dict[str, list[Mark]]
"""Path relative to the target to what was written there: the latest, and the one before, which lies there still after a
kill at the wrong moment."""


def place_files(folder: Path, stem: str, artifacts: Iterable[Artifact], *, force: bool, dry_run: bool) -> list[Placed]:
    """Write the files of one slide, all or none, and return what became of each.

    Raises UnwritableOutput, and whatever reading the results raises; then no file was changed.
    """
    if dry_run:
        marks = _read_marks(folder, stem)
        return [_placement_of(folder, stem, artifact, marks, force) for artifact in artifacts]
    with slide_lock(folder, stem), ExitStack() as finished:
        marks = _read_marks(folder, stem)
        placed, new = [], {}
        for artifact in artifacts:
            verdict = _placement_of(folder, stem, artifact, marks, force)
            if verdict.fate is ExportStatus.PLANNED:
                replace_path = replacing_folder if artifact.is_folder else replacing
                temporary = finished.enter_context(replace_path(verdict.path, stem))
                artifact.write(temporary)
                new[str(artifact.path)] = [_mark(temporary, artifact.of), *marks.get(str(artifact.path), [])[:1]]
                verdict = Placed(verdict.path, ExportStatus.WRITTEN)
            placed.append(verdict)
        if new:
            _write_marks(folder, stem, marks | new)
    return placed


def changed_files(folder: Path, stem: str) -> list[Path]:
    """Return the files of a slide that are there, and are not what was written. Raises UnreadableOutput."""
    marks = {folder / name: of_file for name, of_file in _read_marks(folder, stem).items()}
    return [
        path
        for path, of_file in marks.items()
        if path.exists() and of_file and _sha256(path) not in {mark.sha256 for mark in of_file}
    ]


def _placement_of(folder: Path, stem: str, artifact: Artifact, marks: Marks, force: bool) -> Placed:
    path = folder / artifact.path
    if path.exists() and artifact.own is not None and path.resolve() == artifact.own.resolve():
        return Placed(path, ExportStatus.UNCHANGED)
    if not path.exists():
        return Placed(path, ExportStatus.PLANNED)
    mark_on_disk = _mark_on_disk(path, marks.get(str(artifact.path), ()))
    if mark_on_disk and mark_on_disk.of == artifact.of:
        return Placed(path, ExportStatus.UNCHANGED)
    if mark_on_disk or force:
        return Placed(path, ExportStatus.PLANNED)
    why = f"{stem}: {path} was not written by this export, or changed since; move it away, or use --force to replace it"
    return Placed(path, ExportStatus.REFUSED, why)


def _mark_on_disk(path: Path, marks: Sequence[Mark]) -> Mark | None:
    """Return which of the marks is of what lies there; its bytes tell apart two that were made at one time."""
    matching = next((mark for mark in marks if mark.fits(path)), None)
    alike = [mark for mark in marks if matching and (mark.size, mark.mtime_ns) == (matching.size, matching.mtime_ns)]
    if len(alike) < 2:
        return matching
    digest = _sha256(path)
    return next((mark for mark in alike if mark.sha256 == digest), None)


def _mark(path: Path, of: str) -> Mark:
    return Mark(of, *_size_and_time(path), _sha256(path))


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _size_and_time(path: Path) -> tuple[int, int]:
    """Return bytes and ns; of a folder those of all its files, and the time of the latest."""
    stats = [file.stat() for file in (_files_in(path) if path.is_dir() else [path])]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def _sha256(path: Path) -> str:
    if path.is_dir():
        lines = [f"{file.relative_to(path).as_posix()} {_sha256(file)}" for file in _files_in(path)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _memory(folder: Path, stem: str) -> Path:
    return Store(folder).export_marks(stem)


def _read_marks(folder: Path, stem: str) -> Marks:
    path = _memory(folder, stem)
    try:
        values = parse_json(path.read_bytes())
        return {name: [Mark(**mark) for mark in marks] for name, marks in values.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UnreadableOutput(
            f"{stem}: {path}, which remembers what was exported, cannot be read ({error!r}); delete it and use --force"
        ) from error


def _write_marks(folder: Path, stem: str, marks: Marks) -> None:
    """Remember files that are about to take their places."""
    content = {name: [asdict(mark) for mark in of_file] for name, of_file in sorted(marks.items())}
    with replacing(_memory(folder, stem), stem) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

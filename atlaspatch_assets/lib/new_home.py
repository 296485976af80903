"""Dagster's home at its first start: made aside and put in place as a whole, so that a kill leaves none half made."""

import errno
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path

from filelock import FileLock

from atlaspatch_core.storage.writable import write_fault

SETTINGS = "dagster.yaml"
DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
OTHER_STORAGE = ("storage", "run_storage", "event_log_storage", "schedule_storage", "local_artifact_storage")
"""Keys of settings by which nothing of a home is in ``DATABASES``."""
OF_VERSIONS = {"alembic_version", "secondary_indexes", "instance_info"}
"""Tables of which the rows are no history."""
LOCK = ".first_start.lock"
SECONDS_OF_MAKING = 3600
"""After which what was new_home aside is of a process that was killed."""


def make_home(home: Path) -> None:
    """Make a home that is not there, and what a home lacks that was never used or whose making was cut off.

    A database that holds anything stays as it is. Raises OSError.
    """
    if not _is_there(home) and _put_in_place(home):
        return
    home.mkdir(parents=True, exist_ok=True)
    if _lacking_files(home):
        with FileLock(home / LOCK), _home_aside(home) as new_home:
            for name in _lacking_files(home):
                _replace_file(home / name, new_home / name)


def _is_there(home: Path) -> bool:
    return home.is_dir() and any(home.iterdir())


def _put_in_place(home: Path) -> bool:
    """Make a home beside its place and rename it; tell whether that is possible."""
    home.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(home.parent, os.W_OK) and home.is_dir():
        return False
    with _home_aside(home.parent, f".{home.name}.") as new_home:
        try:
            new_home.rename(home)
        except OSError:  # another process was faster, or the place is a mount
            if not home.is_dir():
                raise
            return False
    return True


@contextmanager
def _home_aside(folder: Path, prefix: str = ".first_start.") -> Iterator[Path]:
    """Make a whole home in a folder of its own; it is removed, unless it was renamed."""
    _remove_leftovers(folder, prefix)
    folder_aside = Path(tempfile.mkdtemp("", f"{prefix}new-", folder))
    try:
        new_home = folder_aside / "home"
        new_home.mkdir()
        (new_home / SETTINGS).write_bytes(files("atlaspatch_assets").joinpath(SETTINGS).read_bytes())
        _make_databases(new_home)
        yield new_home
    finally:
        shutil.rmtree(folder_aside, ignore_errors=True)


def _make_databases(home: Path) -> None:
    """Make databases with tables. Raises OSError also where SQLite says that the disk is full or read-only."""
    import dagster as dg
    from sqlalchemy.exc import DBAPIError

    try:
        with dg.DagsterInstance.from_config(str(home)):
            pass
    except DBAPIError as error:  # SQLAlchemy's class for what SQLite raised
        folder = home.parent.parent
        raise OSError(errno.EIO, write_fault(folder) or str(error.orig), str(folder)) from error


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove what killed processes left."""
    for leftover in folder.glob(f"{prefix}new-*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > SECONDS_OF_MAKING:
                shutil.rmtree(leftover, ignore_errors=True)


def _lacking_files(home: Path) -> list[str]:
    """Return which files of a home are not there, or are of a making that was cut off; the settings last."""
    names = list(DATABASES) if _keeps_databases(home / SETTINGS) else []
    lacking_files = [name for name in names if not _is_made(home / name)]
    return [*lacking_files, *([] if _has_text(home / SETTINGS) else [SETTINGS])]


def _keeps_databases(settings: Path) -> bool:
    """Tell whether the history is in files of the home."""
    if not _has_text(settings):
        return True
    keys = {line.partition(":")[0] for line in settings.read_text(encoding="utf-8", errors="replace").splitlines()}
    return keys.isdisjoint(OTHER_STORAGE)


def _has_text(settings: Path) -> bool:
    return settings.is_file() and settings.stat().st_size > 0


def _is_made(database: Path) -> bool:
    """Tell whether a database has the tables of a version, or holds anything, which is left alone."""
    if not database.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            used_tables = {name for name in tables if connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()}
    except sqlite3.Error:  # damaged or locked, which Dagster says
        return True
    return "alembic_version" in used_tables or bool(used_tables - OF_VERSIONS)


def _replace_file(path: Path, new: Path) -> None:
    """Put a file in its place, without what a database of before left beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    new.replace(path)

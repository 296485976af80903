"""What Dagster on SQLite works out for every statement anew is kept, in a process of hundreds of instances.

There each connection has an engine of its own, which compiles its statements again, and each look at the version of a
database reads the list of all migrations.
"""

from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log  # noqa: TID251
from dagster._core.storage.runs.sqlite import sqlite_run_storage  # noqa: TID251
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage  # noqa: TID251
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

MOST_ENGINES = 500
"""Databases of which the engine is kept; a run has one."""

_engines: dict[str, Engine] = {}
_compiled: list[Engine] = []
"""The first engine: its compiled statements serve all, as they do not depend on the database."""
_read: dict[str, ScriptDirectory] = {}
_read_migrations = ScriptDirectory.from_config


def keep_what_storages_work_out() -> None:
    """Let databases of this process share engines, compiled statements and lists of migrations, from now on."""
    for storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        vars(storage)["create_engine"] = _engine
    ScriptDirectory.from_config = staticmethod(_migrations)


def _engine(url: str, **options: Any) -> Engine:
    """Return the engine of a database; it keeps no connection, so that files may go and come."""
    if url not in _engines:
        if len(_engines) >= MOST_ENGINES:
            _engines.clear()
        _engines[url] = _sharing(create_engine(url, **options))
    return _engines[url]


def _sharing(engine: Engine) -> Engine:
    """Return an engine that takes the statements that the first one compiled, which are kept by its dialect."""
    if not _compiled:
        with engine.connect():
            _compiled.append(engine)
    engine.dialect, engine._compiled_cache = _compiled[0].dialect, _compiled[0]._compiled_cache
    return engine


def _migrations(config: Config) -> ScriptDirectory:
    """Return the migrations of the folder that is configured, as they were read first."""
    location = str(config.get_main_option("script_location"))
    if location not in _read:
        _read[location] = _read_migrations(config)
    return _read[location]

"""Dagster's home, as commands need it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from atlaspatch_assets.lib.home import dagster_home, home_fault


def ready_home() -> Path:
    """Return Dagster's home with settings in it. Raises click.UsageError where it cannot be written."""
    try:
        return dagster_home()
    except OSError as error:
        raise click.UsageError(
            f"{error.filename}: Dagster's home cannot be written ({error.strerror}); "
            "let DAGSTER_HOME name a folder on a local disk"
        ) from error


@contextmanager
def told_where_home_fails(home: Path) -> Iterator[None]:
    """Turn whatever a storage raises into one sentence where Dagster's home is gone, full or read-only.

    Raises click.ClickException.
    """
    try:
        yield
    except Exception as error:  # a database raises classes of its own of a full disk; the home says whether it is that
        if fault := home_fault(home):
            raise click.ClickException(fault) from error
        raise

"""Dagster's home, as commands need it."""

from pathlib import Path

import click

from atlaspatch_assets.lib.home import dagster_home


def ready_home() -> Path:
    """Return Dagster's home with settings in it. Raises click.UsageError where it cannot be written."""
    try:
        return dagster_home()
    except OSError as error:
        raise click.UsageError(
            f"{error.filename}: Dagster's home cannot be written ({error.strerror}); "
            "let DAGSTER_HOME name a folder on a local disk"
        ) from error

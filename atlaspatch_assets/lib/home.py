"""Dagster's home: where runs, events and partitions are remembered."""

import os
from pathlib import Path

from atlaspatch_assets.lib.new_home import make_home
from atlaspatch_core.storage.writable import write_fault

VARIABLE = "DAGSTER_HOME"
DEFAULT_HOME = Path("~/.atlaspatch/dagster")


def dagster_home() -> Path:
    """Return the folder that ``DAGSTER_HOME`` names, ``~/.atlaspatch/dagster`` by default, ready for use.

    The folder is made, and gets databases with tables and our ``dagster.yaml`` unless it has them; ``DAGSTER_HOME``
    names it from now on. Raises OSError.
    """
    home = Path(os.environ.get(VARIABLE) or DEFAULT_HOME).expanduser().absolute()
    make_home(home)
    os.environ[VARIABLE] = str(home)
    return home


def loss_of_home(home: Path) -> str | None:
    """Return that a home that was ready for use is gone, or has become read-only, with the cure; None for one that is
    there.
    """
    if not (home / "dagster.yaml").is_file():
        return f"{home}: Dagster's home is gone; mount its disk, or put it back, and start again"
    if not os.access(home, os.W_OK):
        return f"{home}: Dagster's home cannot be written; mount it writable, or give write permission"
    return None


def home_fault(home: Path) -> str | None:
    """Return the same, and that its disk is full."""
    return loss_of_home(home) or write_fault(home)

"""Dagster's home: where runs, events and partitions are remembered."""

import os
from importlib.resources import files
from pathlib import Path

VARIABLE = "DAGSTER_HOME"
DEFAULT_HOME = Path("~/.atlaspatch/dagster")


def dagster_home() -> Path:
    """Return the folder that ``DAGSTER_HOME`` names, ``~/.atlaspatch/dagster`` by default, ready for use.

    The folder is made, gets our ``dagster.yaml`` unless it has one, and is what ``DAGSTER_HOME`` says from now on.
    """
    home = Path(os.environ.get(VARIABLE) or DEFAULT_HOME).expanduser().absolute()
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_bytes(files("atlaspatch_assets").joinpath("dagster.yaml").read_bytes())
    os.environ[VARIABLE] = str(home)
    return home

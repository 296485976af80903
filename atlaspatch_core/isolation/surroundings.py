"""What a process takes from the one that starts it and that may change later: its folder, its environment, its log."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Those of a process."""

    folder: Path
    environment: Mapping[str, str]
    log_level: int
    """Of this package."""

    @classmethod
    def now(cls) -> "Surroundings":
        """Return those of this process."""
        return cls(Path.cwd(), dict(os.environ), logging.getLogger("atlaspatch_core").getEffectiveLevel())


def enter(new: Surroundings, old: Surroundings) -> None:
    """Bring this process from old surroundings to new ones; variables that it has set itself stay."""
    os.chdir(new.folder)
    for name in old.environment.keys() - new.environment.keys():
        os.environ.pop(name, None)
    os.environ.update(dict(new.environment.items() - old.environment.items()))
    logging.getLogger("atlaspatch_core").setLevel(new.log_level)

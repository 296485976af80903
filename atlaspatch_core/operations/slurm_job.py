"""What a task of a Slurm array gets: the options of ``atlaspatch slurm``."""

import re
from dataclasses import dataclass, fields
from pathlib import Path

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.option import check_bounds, stated

DIRECTIVE = re.compile(r"[^\s#\"'`$\\;&|<>]+")
"""What stands in a line that Slurm reads, which is no shell."""
IN_DIRECTIVES = frozenset({"memory", "time", "partition", "account", "sbatch"})
"""Fields of which such lines are made."""


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """What a task of the array gets, and where it finds the program."""

    tasks: int = stated(
        8, "Tasks of the array; each takes its part of the slides.", flags=("--tasks",), ge=1, le=100_000
    )
    gpus: int = stated(1, "GPUs of a task; one is used by each.", flags=("--gpus",), ge=0, le=1)
    cpus: int = stated(8, "CPU cores of a task, which read and decode patches.", flags=("--cpus",), ge=1, le=1024)
    memory: str = stated("32G", "Memory of a task, as Slurm writes it.", flags=("--memory",))
    time: str = stated("24:00:00", "Longest time of a task, as Slurm writes it.", flags=("--time",))
    partition: str | None = stated(None, "Slurm's partition.", flags=("--partition",), unset="the cluster's")
    account: str | None = stated(None, "Slurm's account.", flags=("--account",), unset="yours")
    sbatch: tuple[str, ...] = stated(
        (), "Another option of sbatch, such as --sbatch=--qos=long; may be repeated.", flags=("--sbatch",), unset="none"
    )
    container: Path | None = stated(
        None, "Image of Apptainer (.sif) that the program is in.", flags=("--container",), unset="none"
    )
    environment: Path | None = stated(
        None,
        "Folder of the Python environment that the program is in, of venv or conda.",
        flags=("--environment",),
        unset="what is found on the PATH",
    )
    weights: Path | None = stated(
        None,
        "Folder that 'atlaspatch weights fetch --to' filled; tasks then ask no network.",
        flags=("--weights",),
        unset="the usual caches of the hub and of torch",
    )
    logs: Path = stated(Path("slurm-logs"), "Folder of the logs, one a task.", flags=("--logs",))

    def __post_init__(self) -> None:
        """Raise InvalidProject for what the script could not say."""
        check_bounds(self)
        for field in fields(self):
            words = getattr(self, field.name)
            for word in words if isinstance(words, tuple) else (words,):
                if field.name in IN_DIRECTIVES and word is not None and not DIRECTIVE.fullmatch(str(word)):
                    raise InvalidProject(
                        f"{field.name} is {str(word)!r}, which a line of #SBATCH cannot hold; leave out blanks, quotes "
                        "and what a shell would read"
                    )
        if self.container and self.environment:
            raise InvalidProject("container and environment are two places of the program; give one of them")

"""What an outer layer adds to the commands."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from atlaspatch_core.validity.outcome import Outcome, OutputKey

if TYPE_CHECKING:
    from atlaspatch_core.operations.doctor.values import Check
    from atlaspatch_core.operations.rates import Rate
    from atlaspatch_core.validity.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Hooks:
    """Passed to the command group as click's context object: ``cli(obj=Hooks(report=…))``."""

    report: Callable[["Recipe", Outcome], None] | None = None
    """Called with what is made and every outcome as it comes, before it is printed."""
    failures: Callable[["Recipe"], Mapping[OutputKey, Mapping[str, str]]] | None = None
    """Returns step to stem to the reason why the last attempt failed, as it was remembered elsewhere."""
    failures_of_folders: bool = True
    """Whether ``failures`` are of output folders without a project file, too."""
    rates: Callable[["Recipe"], Mapping[OutputKey, "Rate"]] | None = None
    """Returns how fast steps went in earlier runs, as it was remembered elsewhere."""
    unfinished_runs: Callable[["Recipe"], Mapping[str, Sequence[str]]] | None = None
    """Returns what to say of runs elsewhere that have not ended, to the slides or cases that each takes."""
    more_checks: Callable[[], Iterable["Check"]] | None = None
    """Returns what ``doctor`` is to check of the outer layer, after the core's own checks."""
    files_beside_project: tuple[tuple[str, str], ...] = ()
    """Name and text of files that ``init`` writes beside the project file."""
    next_commands: Callable[[Path], str] | None = None
    """Returns in a clause what to do with a new project file."""

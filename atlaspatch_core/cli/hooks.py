"""What an outer layer adds to the commands."""

from collections.abc import Callable
from dataclasses import dataclass

from atlaspatch_core.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Hooks:
    """Passed to the command group as click's context object: ``cli(obj=Hooks(report=…))``."""

    report: Callable[[Outcome], None] | None = None
    """Called with every outcome as it comes, before it is printed."""

"""What a check is given, and what it finds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from atlaspatch_core.config.project import Project
from atlaspatch_core.validity.recipe import Recipe


class DoctorLevel(StrEnum):
    """How bad a finding is."""

    OK = "PASS"
    WARN = "WARN"
    """Work goes on, slower or with less than one may expect."""
    FAIL = "FAIL"
    """Work will fail."""


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One thing that was looked at."""

    name: str
    level: DoctorLevel
    text: str
    """What was found: a clause."""
    cure: str = ""
    """What to do: an imperative clause; empty where all is well."""


def ok(name: str, text: str) -> DoctorFinding:
    """Return that all is well."""
    return DoctorFinding(name, DoctorLevel.OK, text)


def warn(name: str, text: str, cure: str) -> DoctorFinding:
    """Return a warning."""
    return DoctorFinding(name, DoctorLevel.WARN, text, cure)


def fail(name: str, text: str, cure: str) -> DoctorFinding:
    """Return a failure."""
    return DoctorFinding(name, DoctorLevel.FAIL, text, cure)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined."""

    recipe: Recipe | None = None
    """None where there is no project, or one that cannot be used."""
    hub: bool = False
    """Whether the network may be tried: the Hugging Face hub, its token, access to weights."""

    @property
    def project(self) -> Project | None:
        """The project, where there is one."""
        return self.recipe.project if self.recipe else None


@dataclass(frozen=True, slots=True)
class Check:
    """One look, with its own time limit."""

    name: str
    examine: Callable[[Subject], Iterable[DoctorFinding]]
    seconds: float = 15.0
    """Beyond this it counts as failed, and the next check begins."""
    hint: str = "see whether the storage or the network behind it answers"
    """Cure when it takes longer."""

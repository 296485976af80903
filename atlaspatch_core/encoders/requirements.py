"""What this package declares that it needs, and what its extras add, held against what is installed."""

from collections.abc import Iterator
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement

PACKAGE = "atlaspatch"


def required(extra: str = "") -> list[Requirement]:
    """Return what the package needs, or what an extra adds; nothing where the package itself is not installed."""
    requirements = map(Requirement, _declared())
    return [one for one in requirements if (one.marker.evaluate({"extra": extra}) if one.marker else not extra)]


def complaint(requirement: Requirement) -> str:
    """Return what is wrong with an installed library, or an empty text."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} is {version}, needed is {requirement.specifier}"


def complaints(extra: str) -> Iterator[str]:
    """Yield what of an extra is not installed, or of another version."""
    yield from filter(None, map(complaint, required(extra)))


@cache
def _declared() -> tuple[str, ...]:
    try:
        return tuple(metadata.requires(PACKAGE) or ())
    except metadata.PackageNotFoundError:
        return ()

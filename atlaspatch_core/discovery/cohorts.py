"""Cohorts: the folder that a slide came from, or what a column of the list of slides says of it."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from atlaspatch_core.discovery.patterns import fits
from atlaspatch_core.errors import NoSlides, UnknownName
from atlaspatch_core.option import Option

COHORTS = Option(
    "Only slides of these cohorts: a folder such as slides/kidney, by the name of the folder that is searched and the "
    "path below it, with all folders below; a pattern such as slides/*/2024; or a value of the cohort column.",
    flags=("--cohort", "cohorts"),
    unset="all",
)
CohortsBySlide = Mapping[str, Collection[str]]
"""Stem to the cohorts of a slide; those that share a stem may be of several."""
MOST_NAMED = 20
"""Cohorts that are named where one was mistyped."""


def cohort_of(path: Path, root: Path) -> str:
    """Return the cohort of a slide that was found in ``root``: that folder's name, and the path below it."""
    return _cohort(path.parent.absolute(), root.absolute())  # the working folder may change


@lru_cache(maxsize=4096)
def _cohort(folder: Path, root: Path) -> str:
    folder, root = (Path(os.path.normpath(path)) for path in (folder, root))
    below = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    name = root.name if folder.is_relative_to(root) else folder.name
    return "/".join((name, *below)) or "/"


def is_in_cohort(cohort: str, name: str) -> bool:
    """Say whether a cohort is the one of this name, lies below it, or below what its pattern means."""
    parts, pattern = _parts(cohort), _parts(name)
    if parts[: len(pattern)] == pattern:
        return True
    return any(fits(parts[:length], pattern) for length in range(1, len(parts) + 1))


def _parts(cohort: str) -> list[str]:
    return [part for part in cohort.split("/") if part not in ("", ".")]


def stems_of_cohorts(cohorts: CohortsBySlide, patterns: Iterable[str]) -> frozenset[str]:
    """Return the slides of any of the cohorts that are wanted. Raises UnknownName for one of none."""
    chosen: set[str] = set()
    for pattern in patterns:
        stems = {stem for stem, of_slide in cohorts.items() if any(is_in_cohort(one, pattern) for one in of_slide)}
        if not stems:
            raise UnknownName(_unknown(pattern, Counter(one for of_slide in cohorts.values() for one in of_slide)))
        chosen |= stems
    return frozenset(chosen)


def stems_among(
    cohorts: CohortsBySlide, patterns: Sequence[str], stems: Collection[str] | None = None
) -> Collection[str] | None:
    """Return the slides of these cohorts, of all or of ``stems``; ``stems`` as they are where no cohort is wanted.

    Raises UnknownName for a cohort of no slide, NoSlides where none of the ``stems`` is of these cohorts.
    """
    if not patterns:
        return stems
    chosen = stems_of_cohorts(cohorts, patterns)
    if stems is None:
        return chosen
    if not chosen.intersection(stems):
        raise NoSlides(f"{', '.join(stems)}: not of the cohort {', '.join(patterns)}; leave out one or the other")
    return [stem for stem in stems if stem in chosen]


def common_cohort(cohorts: Iterable[str]) -> str:
    """Return the cohort that holds all of these: the folder above them; empty where there is none."""
    paths = [_parts(cohort) for cohort in set(cohorts)]
    return "/".join(parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False)))


def _unknown(pattern: str, counts: Counter[str]) -> str:
    shown = [f"{cohort} ({count})" for cohort, count in sorted(counts.items()) if cohort]
    more = [f"and {len(shown) - MOST_NAMED} more"] * (len(shown) > MOST_NAMED)
    return f"no slide is of the cohort {pattern}; there are {', '.join([*shown[:MOST_NAMED], *more]) or 'none'}"

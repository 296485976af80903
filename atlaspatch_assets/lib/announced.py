"""Verdicts that Dagster waits for: checks that a run announced and that no step of it gives.

A backfill of the web UI announces every check of the assets that it makes, also those that jobs of their own evaluate.
Their steps are skipped where the assets yield events instead of outputs, and do not start where a slide failed; what
was announced would be shown as failed, or as planned for good (1.13).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from atlaspatch_assets.dagster_internals import last_verdicts
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.validity.outcome import OutputKey

Evaluate = Callable[[dg.DagsterInstance, Mapping[OutputKey, Sequence[str]]], Iterator[dg.AssetCheckEvaluation]]
"""Yields a verdict on every output: step to the slides or cases that are asked about."""


@dataclass(frozen=True, slots=True)
class LaterCheck:
    """A check of several assets that a job of its own evaluates."""

    name: str
    steps: tuple[OutputKey, ...]
    evaluate: Evaluate
    again: bool = False
    """Whether a run evaluates it also on those of its slides that did not pass last time: it may have mended them."""


def announced_verdicts(
    names: ProjectNames,
    instance: dg.DagsterInstance,
    checks: Sequence[LaterCheck],
    stems: Sequence[str] | None = None,
    *,
    busy: Collection[str] = (),
    most: int | None = None,
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the verdicts that were announced and did not come: of ``stems``, or of all but the ``busy`` ones.

    Of each check of an asset at most so many, where ``most`` says so.
    """
    for check in checks:
        open_verdicts: dict[OutputKey, list[str]] = {}
        for step in check.steps:
            verdicts = last_verdicts(instance, names.check_key(step, check.name), stems)
            due = (None, False) if check.again and stems is not None else (None,)
            waiting = sorted(stem for stem, passed in verdicts.items() if passed in due and stem not in busy)
            open_verdicts |= {step: waiting[:most]} if waiting else {}
        if open_verdicts:
            yield from check.evaluate(instance, open_verdicts)

"""What became of every slide, as one JSON object: ``--json`` of the commands that make results.

Its keys are what scripts rely on; ``docs/json-summary.md`` lists them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.validity.outcome import OF_CASES, Outcome, OutputKey

SCHEMA = 1
"""Rises where a key goes or changes its meaning; keys may be added."""
TO_COMPUTE, TO_REUSE = "would_compute", "would_reuse"
"""What a dry run says in place of computed and reused."""
ORDER = ("failed", TO_COMPUTE, "computed", "restamped")
"""Of several statuses of a slide's outputs the first here is that of the slide."""


@dataclass(frozen=True, slots=True)
class SummaryOutput:
    """What became of one output of a slide, or of a case."""

    output: str
    """Such as ``20x/patch_features/uni_v1``."""
    kind: str
    encoder: str | None
    geometry: str
    status: str
    why: str = ""
    fingerprint: str | None = None
    seconds: float | None = None
    path: str | None = None
    numbers: Mapping[str, int | float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def of_step(cls, step: OutputKey, status: str, **more: Any) -> "SummaryOutput":
        """Return what became of a step; ``more`` are other fields."""
        return cls(str(step), step.kind, step.encoder, step.geometry, status, **more)

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> "SummaryOutput":
        """Return the same of an outcome."""
        from atlaspatch_core.cli.printing import reason

        return cls.of_step(
            outcome.step,
            str(outcome.status),
            why=reason(outcome),
            fingerprint=outcome.fingerprint,
            seconds=round(outcome.seconds, 3),
            path=path_text(outcome.path),
            numbers=dict(outcome.numbers),
            warnings=outcome.warnings,
        )


@dataclass(frozen=True, slots=True)
class JsonSummary:
    """What a command did, or would do."""

    command: str
    output: Path
    exit_code: int
    slides: Mapping[str, Sequence[SummaryOutput]]
    """Stem to outputs, upstream first."""
    cases: Mapping[str, Sequence[SummaryOutput]] = field(default_factory=dict)
    """case_id to embeddings."""
    left_out: Sequence[str] = ()
    """Why files were no slides of the run, a sentence each."""
    errors: Sequence[str] = ()
    """What went wrong beside slides that failed."""
    dry_run: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """JSON values."""
        from importlib.metadata import version

        slides = [_values("stem", stem, outputs) for stem, outputs in self.slides.items()]
        return {
            "schema": SCHEMA,
            "command": self.command,
            "version": version("atlaspatch"),
            "output": str(self.output.absolute()),
            "dry_run": self.dry_run,
            "exit_code": self.exit_code,
            "counts": _counts(slides) | {"left_out": len(self.left_out)},
            "slides": slides,
            "cases": [_values("case_id", case_id, outputs) for case_id, outputs in self.cases.items()],
            "left_out": list(self.left_out),
            "errors": list(self.errors),
        }

    def write(self) -> None:
        """Print it to standard output."""
        click.echo(json.dumps(self.values, indent=1, ensure_ascii=False))


def summary_of(
    command: str, output: Path, exit_code: int, outcomes: Iterable[Outcome], left_out: Iterable[str]
) -> JsonSummary:
    """Return what a command did, of the outcomes of slides and cases."""
    slides, cases = {}, {}
    for outcome in outcomes:
        place = cases if outcome.step.kind == OF_CASES else slides
        place.setdefault(outcome.stem, []).append(SummaryOutput.of_outcome(outcome))
    return JsonSummary(command, output, exit_code, slides, cases, tuple(left_out))


def status_of(outputs: Iterable[SummaryOutput]) -> str:
    """Return the status of a slide: that of its outputs which says most."""
    statuses = [output.status for output in outputs]
    return next((status for status in ORDER if status in statuses), TO_REUSE if TO_REUSE in statuses else "reused")


def path_text(path: Path | None) -> str | None:
    """Return a path as scripts take it; of an object its URL."""
    return None if path is None else shown_path(path.absolute())


def _values(key: str, name: str, outputs: Sequence[SummaryOutput]) -> dict[str, Any]:
    warnings = list(dict.fromkeys(text for output in outputs for text in output.warnings))
    entries = [{name: value for name, value in asdict(output).items() if name != "warnings"} for output in outputs]
    return {key: name, "status": status_of(outputs), "warnings": warnings, "outputs": entries}


def _counts(slides: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts = {"slides": len(slides), "with_warnings": sum(bool(slide["warnings"]) for slide in slides)}
    for status in ("computed", "reused", "restamped", "failed", TO_COMPUTE, TO_REUSE):
        counts[status] = sum(slide["status"] == status for slide in slides)
    return counts

"""Verdicts on slides: whether each output could be made, and whether the tissue is as usual; those that are news."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from atlaspatch_assets.dagster_internals import VerdictRecorder, last_verdicts
from atlaspatch_assets.lib.metadata import Metadata, picture_metadata
from atlaspatch_assets.lib.names import PROCESSED, TISSUE_QUALITY, ProjectNames
from atlaspatch_core.tissue.quality import QualityFinding, failed, warnings
from atlaspatch_core.validity.outcome import Outcome, Status

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.AssetObservation


@dataclass(slots=True)
class OpenFailures:
    """Slides whose last verdict is not a pass, by check, as Dagster knows them: one query a check, when first asked.

    Every event is kept for good, and a slide that never failed says so by its materialisation. So a pass is told only
    where it is news: after a failure, or where a run announced a verdict.
    """

    names: ProjectNames
    instance: dg.DagsterInstance
    among: Sequence[str] | None = None
    """Slides to ask for, where they are known and not more than a batch; by default all."""
    run_id: str = ""
    """The run that makes the events, where one does."""
    causes: dict[str, str] = field(default_factory=dict)
    """Slide or case to why the first of its steps failed."""
    _open: dict[dg.AssetCheckKey, set[str]] = field(default_factory=dict)
    _recorder: VerdictRecorder | None = None

    def report(self, event: Event) -> None:
        """Record an event that no run of slides made."""
        if not isinstance(event, dg.AssetCheckEvaluation):
            self.instance.report_runless_asset_event(event)
            return
        self._recorder = self._recorder or VerdictRecorder(self.instance, self.names.tags)
        self._recorder.record([event])

    def is_news(self, verdict: dg.AssetCheckEvaluation) -> bool:
        """Tell whether a verdict is to be told, and take it as told."""
        stem, waiting = str(verdict.partition), self._open_of(verdict.asset_check_key)
        news = not verdict.passed or stem in waiting
        (waiting.discard if verdict.passed else waiting.add)(stem)
        return news

    def _open_of(self, check: dg.AssetCheckKey) -> set[str]:
        if check not in self._open:
            verdicts = last_verdicts(self.instance, check, self.among)
            self._open[check] = {stem for stem, passed in verdicts.items() if not passed}
        return self._open[check]


def outcome_verdicts(names: ProjectNames, outcome: Outcome) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the verdicts on a slide: one on its output, and one on its quality where that was judged."""
    if outcome.fingerprint or outcome.status is Status.FAILED:
        yield _output_verdict(names, outcome)
    if outcome.findings:
        yield _quality_verdict(names, outcome)


def _output_verdict(names: ProjectNames, outcome: Outcome) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=names.asset_key(outcome.step),
        check_name=PROCESSED,
        passed=outcome.status is not Status.FAILED,
        partition=outcome.stem,
        metadata={"reason": outcome.why} if outcome.status is Status.FAILED else {},
    )


def _quality_verdict(names: ProjectNames, outcome: Outcome) -> dg.AssetCheckEvaluation:
    """Return one verdict over all findings; an error only where the project blocks the slide for it."""
    odd = failed(outcome.findings)
    blocked = outcome.status is Status.FAILED
    return dg.AssetCheckEvaluation(
        asset_key=names.asset_key(outcome.step),
        check_name=TISSUE_QUALITY,
        passed=not odd,
        partition=outcome.stem,
        severity=dg.AssetCheckSeverity.ERROR if blocked else dg.AssetCheckSeverity.WARN,
        metadata=({"reason": warnings(odd)} | picture_metadata(outcome.picture) if odd else {})
        | _numbers(outcome.findings),
    )


def _numbers(findings: Sequence[QualityFinding]) -> Metadata:
    """Return value and bound of each finding, as numbers."""
    values = {finding.name: finding.value for finding in findings}
    bounds = {f"{finding.name}_bound": finding.bound for finding in findings}
    return {name: dg.MetadataValue.float(float(f"{value:.6g}")) for name, value in sorted((values | bounds).items())}

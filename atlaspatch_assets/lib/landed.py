"""What lies in the output folder and Dagster does not know: results that landed, and attempts that failed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dagster import DagsterInstance

from atlaspatch_assets.lib.names import PROCESSED, ProjectNames
from atlaspatch_assets.lib.recorded import OLDER_REASON, failure_reasons, recorded_validities
from atlaspatch_assets.lib.reporting import report_outcomes
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.operations.tracking.folder import read_states
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity


@dataclass(frozen=True, slots=True)
class RecordedCounts:
    """How much Dagster was told."""

    results: int
    failures: int
    """Outputs that could not be made; those after them, which were not tried, do not count."""
    slides: int = 0
    cases: int = 0


def record_folder(
    recipe: Recipe, discovery: Discovery, outputs: Iterable[Validity], instance: DagsterInstance
) -> RecordedCounts:
    """Tell an instance of outputs as they lie in the folder; what it knows is not told again, and nothing is computed.

    ``outputs`` are their states, by slide, upstream first: fresh ones are materialisations, failed ones failures.
    Slides that the instance does not know become partitions.
    """
    names = ProjectNames.of(recipe.project)
    concerned = [output for output in outputs if output.state in (State.FRESH, State.FAILED)]
    names.slides.register(instance, dict.fromkeys(output.stem for output in concerned))
    open_failures, fates = OpenFailures(names, instance), list[tuple[str, Status]]()
    landed = unknown_results(recipe, concerned, instance)
    failed = unknown_failures(recipe, concerned, instance)
    for outcome in (*failure_outcomes(recipe, failed), *result_outcomes(recipe, discovery, landed)):
        report_outcomes([outcome], open_failures)
        fates.append((outcome.stem, outcome.status))
    failures = sum(status is Status.FAILED for _, status in fates)
    return RecordedCounts(len(landed), failures, len({stem for stem, _ in fates}))


def unknown_results(recipe: Recipe, outputs: Iterable[Validity], instance: DagsterInstance) -> list[Validity]:
    """Return the fresh outputs that an instance does not know as they are: never told, of a former version, failed."""
    recorded = recorded_validities(recipe, instance)
    equal = {(output.stem, output.step) for output in recorded if output.state is State.FRESH}
    return [output for output in outputs if output.state is State.FRESH and (output.stem, output.step) not in equal]


def unknown_failures(recipe: Recipe, outputs: Iterable[Validity], instance: DagsterInstance) -> list[Validity]:
    """Return the failed outputs of which an instance does not know that they failed, or knows another reason."""
    names = ProjectNames.of(recipe.project)
    failed = [output for output in outputs if output.state is State.FAILED]
    steps = dict.fromkeys(output.step for output in failed)
    reasons = {step: failure_reasons(instance, names.check_key(step, PROCESSED)) for step in steps}
    return [output for output in failed if reasons[output.step].get(output.stem) not in (output.why, OLDER_REASON)]


def result_outcomes(recipe: Recipe, discovery: Discovery, outputs: Iterable[Validity]) -> Iterator[Outcome]:
    """Yield the outcomes of outputs that are fresh in the files, as a run that reuses them has them.

    Those that a run made, and not one that found them, have the seconds that it took.
    """
    groups, sources = _groups(outputs), discovery.by_stem
    states = read_states(Store(recipe.project.output)) if groups else {}
    for steps, stems in groups.items():
        for outcome in process([sources[stem] for stem in stems if stem in sources], recipe, steps=steps):
            seconds = states[outcome.stem].seconds.get(str(outcome.step)) if outcome.stem in states else None
            is_made = seconds is not None and outcome.status is Status.REUSED
            yield replace(outcome, status=Status.COMPUTED, why="missing", seconds=seconds) if is_made else outcome


def failure_outcomes(recipe: Recipe, outputs: Sequence[Validity]) -> Iterator[Outcome]:
    """Yield failed outcomes, each with what comes after it, which was not tried."""
    for output in outputs:
        yield Outcome(output.stem, output.step, Status.FAILED, why=output.why)
        stopped = {output.step}
        for stage in recipe.stages:
            if stage.step not in stopped and (culprit := next((up for up in stage.upstream if up in stopped), None)):
                status = Status.FAILED if culprit == output.step else Status.SKIPPED
                yield Outcome(output.stem, stage.step, Status.SKIPPED, why=f"{culprit} {status}")
                stopped.add(stage.step)


def _groups(outputs: Iterable[Validity]) -> dict[tuple[OutputKey, ...], list[str]]:
    """Return steps to the slides that have these to be told, so that a call of the pipeline serves many slides."""
    steps: defaultdict[str, list[OutputKey]] = defaultdict(list)
    for output in outputs:
        steps[output.stem].append(output.step)
    groups: defaultdict[tuple[OutputKey, ...], list[str]] = defaultdict(list)
    for stem, of_slide in steps.items():
        groups[tuple(of_slide)].append(stem)
    return groups

"""The check ``valid`` of every asset: fails where an output is not what the project asks for, and says what changed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import dagster as dg

from atlaspatch_assets.defs.audit.jobs import later_audit_checks
from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.lib.announced import LaterCheck
from atlaspatch_assets.lib.batch_ops import without_preview_warnings
from atlaspatch_assets.lib.names import PROCESSED, PartitionKind, ProjectNames
from atlaspatch_assets.lib.recorded import VALID, recorded_validities, validity_verdict, validity_verdicts
from atlaspatch_assets.lib.results import check_outputs
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec, Recipe
from atlaspatch_core.validity.states import State, Validity

States = Callable[[dg.DagsterInstance, Collection[OutputKey]], Sequence[Validity]]
"""Gives the states of the outputs of these steps."""

OF_SLIDES = (
    "Whether the output of the slide is what the project file asks for; if it is stale, what changed. "
    "The job `check_validity` tells it for all slides."
)
OF_CASES = (
    "Whether the embedding of the case is what the project file, the table of cases and its slides ask for; if it is "
    "stale, what changed. The job `check_validity` tells it for all cases."
)


def build_valid_checks(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """Return the check ``valid`` of every asset; run by itself it tells what is news of all slides, or cases."""

    def of_slides(instance: dg.DagsterInstance, steps: Collection[OutputKey]) -> list[Validity]:
        return recorded_validities(recipe, instance, steps)

    def of_cases(instance: dg.DagsterInstance, steps: Collection[OutputKey]) -> list[Validity]:
        validities = case_validities(recipe, instance, recorded_validities(recipe, instance))
        return [validity for validity in validities if validity.step in steps]

    names = ProjectNames.of(recipe.project)
    checks = [_build_valid_checks("validity", names.slides, recipe.stages, of_slides, OF_SLIDES)]
    if recipe.cases and recipe.project.patients.manifest is not None:
        checks.append(_build_valid_checks("case_validity", names.cases, recipe.cases, of_cases, OF_CASES))
    return checks


def later_slide_checks(recipe: Recipe) -> list[LaterCheck]:
    """Return the checks of slides that a run evaluates only where it announced them."""

    def evaluate(
        instance: dg.DagsterInstance, targets: Mapping[OutputKey, Sequence[str]]
    ) -> Iterator[dg.AssetCheckEvaluation]:
        yield from _verdicts_on(recipe, recorded_validities(recipe, instance, targets.keys()), targets)

    return [
        LaterCheck(VALID, tuple(stage.step for stage in recipe.stages), evaluate, again=True),
        *later_audit_checks(recipe),
    ]


def later_case_checks(recipe: Recipe) -> list[LaterCheck]:
    """Return the same of cases."""

    def evaluate(
        instance: dg.DagsterInstance, targets: Mapping[OutputKey, Sequence[str]]
    ) -> Iterator[dg.AssetCheckEvaluation]:
        states = case_validities(recipe, instance, recorded_validities(recipe, instance))
        yield from _verdicts_on(recipe, states, targets)

    return (
        [LaterCheck(VALID, tuple(stage.step for stage in recipe.cases), evaluate, again=True)] if recipe.cases else []
    )


def processed_checks(recipe: Recipe) -> list[LaterCheck]:
    """Return the check ``processed`` of slides, for verdicts that dead runs left open: outputs that are there pass.

    What is missing is left open: a run is to see to it, and a failure would say that one did.
    """
    names = ProjectNames.of(recipe.project)

    def evaluate(
        instance: dg.DagsterInstance, targets: Mapping[OutputKey, Sequence[str]]
    ) -> Iterator[dg.AssetCheckEvaluation]:
        for output in recorded_validities(recipe, instance, targets.keys()):
            if output.stem in targets.get(output.step, ()) and output.state in (State.FRESH, State.STALE):
                yield dg.AssetCheckEvaluation(
                    asset_key=names.asset_key(output.step), check_name=PROCESSED, passed=True, partition=output.stem
                )

    return [LaterCheck(PROCESSED, tuple(stage.step for stage in recipe.stages), evaluate)]


def _verdicts_on(
    recipe: Recipe, states: Iterable[Validity], targets: Mapping[OutputKey, Sequence[str]]
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield a verdict on every output that is asked about: one that failed or is missing does not pass."""
    of_output = {(validity.stem, validity.step): validity for validity in states}
    for step, stems in targets.items():
        for stem in stems:
            unknown = Validity(stem, step, State.MISSING, "it is no partition any more")
            yield validity_verdict(ProjectNames.of(recipe.project), of_output.get((stem, step), unknown))


def _build_valid_checks(
    name: str, kind: PartitionKind, stages: Sequence[OutputSpec], states: States, description: str
) -> dg.AssetChecksDefinition:
    names = kind.names
    with without_preview_warnings():
        specs = {
            stage.step: dg.AssetCheckSpec(
                VALID, asset=names.asset_key(stage.step), partitions_def=kind.definition, description=description
            )
            for stage in stages
        }

        @dg.multi_asset_check(name=names.label(name), specs=list(specs.values()), can_subset=True)
        def validity(
            context: dg.AssetCheckExecutionContext,
        ) -> Iterator[dg.AssetCheckEvaluation | dg.AssetObservation | dg.Output]:
            selected = context.op_execution_context.selected_asset_check_keys
            steps = [step for step, spec in specs.items() if spec.key in selected]
            yield from validity_verdicts(names, states(context.instance, steps), context.instance)
            yield from check_outputs(selected, specs.values())

        return validity

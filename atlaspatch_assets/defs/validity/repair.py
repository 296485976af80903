"""What is to be made of a project, slides and cases, because its outputs are in some states; and the words for it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from atlaspatch_assets.defs.patients.requests import describe_amount
from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.defs.validity.backfill import BackfillPlan, measure_rates, plan_backfill, select_validities
from atlaspatch_assets.defs.validity.failed_slides import find_gone_slides, plan_remarks
from atlaspatch_assets.defs.validity.new_outputs import replacement_lines
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.recorded import recorded_validities
from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.cohorts import stems_of_cohorts
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sections import SECONDS_A_LOOK
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.estimate import Estimate, estimate_work
from atlaspatch_core.operations.former_results import find_former_results
from atlaspatch_core.pipeline.patients.manifest import manifest_of
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity
from atlaspatch_core.wording import format_count


@dataclass(frozen=True, slots=True)
class Repair:
    """What Dagster recorded of a project, and what is to be made."""

    recipe: Recipe
    instance: dg.DagsterInstance
    validities: tuple[Validity, ...]
    """The states of all outputs of slides."""
    slides: BackfillPlan
    cases: tuple[Validity, ...]
    """Embeddings of cases that are asked for."""
    cohorts: Mapping[str, str] = field(default_factory=dict)
    """Stem to cohort, of slides that lie in the project's folders."""

    @property
    def names(self) -> ProjectNames:
        """What the parts of the project are called."""
        return ProjectNames.of(self.recipe.project)

    @property
    def outputs(self) -> tuple[Validity, ...]:
        """All that is to be made."""
        return (*self.slides.outputs, *self.cases)

    def estimate(self, outputs: Sequence[Validity]) -> Estimate:
        """Return what these outputs of slides take, by measured rates."""
        return estimate_work(self.recipe, outputs, measure_rates(self.recipe, self.instance))

    def describe(self, need: Estimate) -> str:
        """Return in words what the slides that ``need`` it and the cases take."""
        return describe_amount(need.text, self.cases)

    def remarks(self) -> list[str]:
        """Return what is to be said because of slides that failed or are gone, of encoders that were replaced, and of
        geometries that had another name.
        """
        missing = [output for output in self.slides.outputs if output.state is State.MISSING]
        replaced = replacement_lines(self.recipe, self.instance, missing)
        former = [each.text for each in find_former_results(self.recipe)] if missing else []
        return [*plan_remarks(self.recipe.project, self.instance, self.slides), *replaced, *former]


def plan_repair(
    recipe: Recipe,
    instance: dg.DagsterInstance,
    states: Collection[State],
    steps: Collection[OutputKey],
    cohorts: Sequence[str] = (),
) -> Repair:
    """Return what is to be made so that the outputs of these steps in these states become fresh.

    With ``cohorts``, of their slides, and of cases that have one of these. Raises UnknownName for a cohort of no slide,
    NoSlides where none is found.
    """
    validities = recorded_validities(recipe, instance)
    gone = find_gone_slides(recipe.project, {validity.stem for validity in validities})
    of_cases = select_validities(case_validities(recipe, instance, validities), states, steps)
    chosen = validities
    discovery = _discover(recipe.project, must=bool(cohorts))
    if cohorts:
        stems = stems_of_cohorts(discovery.cohorts, cohorts)
        chosen = [validity for validity in validities if validity.stem in stems]
        case_ids = manifest_of(recipe.project).cases_with(stems) if of_cases else ()
        of_cases = [validity for validity in of_cases if validity.stem in case_ids]
    slides = plan_backfill(recipe, chosen, states, steps, gone)
    return Repair(recipe, instance, tuple(validities), slides, tuple(of_cases), discovery.cohort_by_stem)


def _discover(project: Project, *, must: bool) -> Discovery:
    """Return the slides that lie there; nothing where they cannot be found, unless they ``must``."""
    try:
        return find_slides(project, seconds=SECONDS_A_LOOK)
    except AtlasPatchError:
        if must:
            raise
        return Discovery(())


def group_by_reason(outputs: Sequence[Validity]) -> dict[tuple[OutputKey, str], list[str]]:
    """Return step and reason to the slides or cases that they hold for, the most first."""
    groups: dict[tuple[OutputKey, str], list[str]] = {}
    for validity in outputs:
        groups.setdefault((validity.step, validity.why or validity.state.value), []).append(validity.stem)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def reason_lines(outputs: Sequence[Validity], most: int) -> Iterator[str]:
    """Yield every reason once, with the number of slides or cases it holds for; at most so many."""
    groups = group_by_reason(outputs)
    for (step, why), stems in list(groups.items())[:most]:
        what = "case" if step.kind == "patient_embedding" else "slide"
        yield f"{step}: {format_count(len(stems), what)}: {why}"
    if len(groups) > most:
        yield f"{len(groups) - most} more reasons, each for as few or fewer"

"""From states of cases to runs."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from atlaspatch_assets.defs.patients.states import case_states
from atlaspatch_assets.lib.batches import in_batches
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.operations.estimate import NOTHING
from atlaspatch_core.pipeline.patients.manifest import Manifest, manifest_of
from atlaspatch_core.pipeline.patients.validity import CaseState
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity
from atlaspatch_core.wording import format_count


@dataclass(frozen=True, slots=True)
class CaseBatch:
    """Cases that need the same steps, and go into one run."""

    case_ids: Sequence[str]
    version: tuple[str, ...]
    """Occasion, and what each of them is to be made from."""
    steps: Sequence[OutputKey]
    failed: bool
    """Whether it is one case, which failed before: it is tried once a version."""

    def request(self, names: ProjectNames, tags: Mapping[str, str], attempt: int = 0) -> dg.RunRequest:
        """Return the request for the run; of one version each attempt is granted once."""
        lines = "\n".join((*self.case_ids, *self.version, *([f"attempt {attempt}"] if attempt else [])))
        assets = names.asset_keys(self.steps)
        return names.cases.request(self.case_ids, f"cases-{short_hash(lines)}", tags=tags, assets=assets)


def case_batches(
    due: Sequence[CaseState],
    manifest: Manifest,
    cases_per_run: int,
    occasion: str = "",
    previous: Callable[[CaseState], str] = lambda _: "",
) -> Iterator[CaseBatch]:
    """Yield these embeddings as batches; those of one ``occasion`` and one version have one version.

    ``previous`` names what was made before: an embedding may be due at a version that it had once. A case that failed
    before has a run of its own, so that it is tried once a version, whatever comes beside it.
    """
    versions: defaultdict[str, list[str]] = defaultdict(list)
    steps: defaultdict[str, list[OutputKey]] = defaultdict(list)
    for state in due:
        case_id = state.validity.stem
        versions[case_id].append(f"{state.fingerprint or repr(manifest.case(case_id))} {previous(state)}".rstrip())
        steps[case_id].append(state.validity.step)
    failed = {state.validity.stem for state in due if state.validity.state is State.FAILED}
    for batch in _group_cases(steps, failed, cases_per_run):
        version = (occasion, *(" ".join(versions[case_id]) for case_id in batch))
        yield CaseBatch(batch, version, steps[batch[0]], batch[0] in failed)


def _group_cases(
    steps: Mapping[str, Sequence[OutputKey]], single_cases: set[str], cases_per_run: int
) -> Iterator[list[str]]:
    """Yield cases that need the same steps together, and some alone."""
    groups: defaultdict[tuple[OutputKey, ...], list[str]] = defaultdict(list)
    for case_id, of_case in steps.items():
        if case_id in single_cases:
            yield [case_id]
        else:
            groups[tuple(of_case)].append(case_id)
    for group in groups.values():
        yield from in_batches(group, cases_per_run)


def cases_to_make(
    recipe: Recipe,
    instance: dg.DagsterInstance,
    slides: Sequence[Validity],
    states: Collection[State],
    steps: Collection[OutputKey],
    tags: Mapping[str, str],
    occasion: str,
    *,
    among: Collection[str] | None = None,
) -> list[dg.RunRequest]:
    """Return the requests for embeddings of cases in these states whose slides are ready; of all cases, or ``among``.

    The others follow their slides: the sensor ``new_cases`` asks for them when these are done.
    """
    if recipe.project.patients.manifest is None or not set(steps) & {stage.step for stage in recipe.cases}:
        return []
    due = due_cases(recipe, instance, slides, states, steps)
    due = due if among is None else [state for state in due if state.validity.stem in among]
    if not due:
        return []
    names, size = ProjectNames.of(recipe.project), recipe.project.runtime.slides_per_run
    batches = case_batches(due, manifest_of(recipe.project), size, occasion)
    return [batch.request(names, tags) for batch in batches]


def due_cases(
    recipe: Recipe,
    instance: dg.DagsterInstance,
    slides: Sequence[Validity],
    states: Collection[State],
    steps: Collection[OutputKey],
) -> list[CaseState]:
    """Return the embeddings of cases that are in one of these states and whose slides are ready."""
    case_ids = ProjectNames.of(recipe.project).cases.keys(instance)
    ready = [
        state for state in case_states(recipe, instance, slides) if state.validity.stem in case_ids and not state.waits
    ]
    return [state for state in ready if state.validity.state in states and state.validity.step in steps]


def describe_amount(of_slides: str, of_cases: Collection[Validity]) -> str:
    """Return what is to be computed: what is said of slides, and how many cases."""
    count = len({validity.stem for validity in of_cases})
    cases = format_count(count, "case")
    return of_slides if not count else cases if of_slides == NOTHING else f"{of_slides}; {cases}"


def register_cases(recipe: Recipe, instance: dg.DagsterInstance) -> None:
    """Make sure that every case of the table is a partition. Raises InvalidManifest, InvalidProject."""
    if recipe.cases and (cases := manifest_of(recipe.project).cases):
        ProjectNames.of(recipe.project).cases.register(instance, [case.case_id for case in cases])

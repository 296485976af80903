"""A changed encoder: tried on some patches, and where it gives the same numbers, stored results get its identity."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from atlaspatch_core.discovery.find import SlideSource
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import Identity, canonical_json
from atlaspatch_core.pipeline.steps.embedding import embedding_numbers
from atlaspatch_core.storage.hdf5 import StoredResult, read_array, read_stored_results
from atlaspatch_core.storage.hdf5_changes import IdentityUpdate
from atlaspatch_core.storage.schema import COORDS, DIM, RESTAMPED_FROM
from atlaspatch_core.storage.store import Store
from atlaspatch_core.upgrades.canary import canary_spec, run_canary
from atlaspatch_core.upgrades.comparison import Canary
from atlaspatch_core.validity.expected import Expectations
from atlaspatch_core.validity.identities import identity_of
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import OutputSpec, Recipe
from atlaspatch_core.validity.rules import maker_changed_alone, stale_reason
from atlaspatch_core.validity.states import State, Validity


@dataclass(frozen=True, slots=True)
class Trial:
    """Features of one former encoder that a canary can speak for."""

    stage: OutputSpec
    former: tuple[int, str]
    """Version and spec, canonical JSON, by which they were made."""
    stems: tuple[str, ...]
    """Slides whose features differ from what is asked for in the encoder alone."""
    why: str
    """What changed."""


def trials(recipe: Recipe, states: Iterable[Validity]) -> list[Trial]:
    """Return what a canary can decide among stale features: those whose coords are fresh and whose encoder changed.

    The identity of every stale result is read from its file.

    Args:
        recipe: What is asked for now.
        states: Of outputs, as ``validities`` yields them.

    Returns:
        One trial for every former encoder, with the slides whose features it made.

    Example:
        ``changed`` asks for features in half precision, which the output has in float32.

        >>> outputs = validities(changed, ["CMU-1-Small-Region"], stored_in_files(changed))
        >>> [trial.stage.step.encoder for trial in trials(changed, outputs)]
        ['efficientnet_lite0']
    """
    stale: defaultdict[OutputKey, list[str]] = defaultdict(list)
    for validity in states:
        if validity.state is State.STALE and validity.step.kind == "patch_features":
            stale[validity.step].append(validity.stem)
    return [trial for step, stems in stale.items() for trial in _of_stage(recipe, recipe.stage(step), stems)]


def _of_stage(recipe: Recipe, stage: OutputSpec, stems: Sequence[str]) -> Iterator[Trial]:
    store = Store(recipe.project.output)
    groups: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    whys: dict[tuple[int, str], str] = {}
    coords = Expectations(recipe, store, steps=stage.upstream)
    for stem in stems:
        identity, expected = _identities(store, stem, stage, coords)
        if identity and expected and _may_be_tried(identity, expected):
            former = _former(identity)
            groups[former].append(stem)
            whys.setdefault(former, stale_reason(identity, expected))
    yield from (Trial(stage, former, tuple(group), whys[former]) for former, group in groups.items())


def _identities(
    store: Store, stem: str, stage: OutputSpec, coords: Expectations
) -> tuple[Identity | None, Identity | None]:
    """Return what decided the stored features, and what is to decide them given the stored coords."""
    try:
        results = store.stored_results(stem, stage.step.geometry)
        stored = results.get(stage.dataset)
        fingerprint = results[COORDS].fingerprint if results else None
        if stored is None or fingerprint is None:
            return None, None
        return stored.identity, identity_of(stage, {stage.upstream[0]: fingerprint}, spec=coords.spec(stage))
    except AtlasPatchError:
        return None, None


def _may_be_tried(identity: Identity, expected: Identity) -> bool:
    """Say whether the encoder alone differs; of unverified results nobody knows that one encoder made them all."""
    return maker_changed_alone(identity, expected)


def _former(identity: Identity) -> tuple[int, str]:
    return identity.version, canonical_json(identity.spec)


def try_upgrade(recipe: Recipe, trial: Trial, sources: Mapping[str, SlideSource]) -> Canary:
    """Encode some stored patches by the changed encoder, and hold the features against those that are stored.

    Nothing is written. How many slides and patches: ``[upgrades]`` of the project, 10 × 50 by default.

    Args:
        recipe: What is asked for now.
        trial: One of ``trials``.
        sources: The slides, by stem; those that are missing or cannot be read are passed over.

    Returns:
        Cosines (-1 to 1), ratios of lengths, shares of neighbours that stay (0 to 1), and whether that is the same.

    Raises:
        NoPatches: None of the slides can be read.
        MissingWeights, WrongWeights, MissingExtra: The encoder cannot be loaded.

    Example:
        >>> outputs = validities(changed, ["CMU-1-Small-Region"], stored_in_files(changed))
        >>> [trial] = trials(changed, outputs)
        >>> canary = try_upgrade(changed, trial, {source.stem: source for source in sources})
        >>> canary.same, canary.patches
        (True, 50)
    """
    slides = [sources[stem] for stem in trial.stems if stem in sources]
    return run_canary(recipe, trial.stage, slides, canary_spec(recipe.project))


def restamp(recipe: Recipe, trial: Trial, canary: Canary) -> Iterator[Outcome]:
    """Give the results of a trial the identity that is asked for now, and those computed from them; no row changes.

    Args:
        recipe: What is asked for now; its output folder is written to.
        trial: One of ``trials``.
        canary: What ``try_upgrade`` found; its numbers are written beside the rows.

    Yields:
        An outcome for every result, restamped, or failed with why. Slides that changed meanwhile are left alone.

    Example:
        >>> outputs = validities(changed, ["CMU-1-Small-Region"], stored_in_files(changed))
        >>> [trial] = trials(changed, outputs)
        >>> canary = try_upgrade(changed, trial, {source.stem: source for source in sources})
        >>> for outcome in restamp(changed, trial, canary):
        ...     print(outcome.step, outcome.status)
        patch_features/efficientnet_lite0 restamped
        slide_embedding/mean-efficientnet_lite0 restamped
    """
    stages = [trial.stage, *(stage for stage in recipe.stages if trial.stage.step in stage.upstream)]
    specs = {stage.step: (stage.spec, stage.code_version) for stage in stages}
    for stem in trial.stems:
        since = perf_counter()
        updates = _identity_updates(recipe, trial, stem, specs)
        try:
            Store(recipe.project.output).restamp(
                stem, trial.stage.step.geometry, list(updates.values()), canary.numbers
            )
        except AtlasPatchError as error:
            yield Outcome(stem, trial.stage.step, Status.FAILED, why=str(error), seconds=perf_counter() - since)
            continue
        for step, update in updates.items():
            yield _restamped_outcome(recipe, stem, step, update, specs[step][1], canary, perf_counter() - since)


def _measures(path: Path, dataset: str) -> dict[str, int | float]:
    """Return what is told of features or of an embedding whoever made them, so that plots have no holes."""
    results = read_stored_results(path)
    patches, shape = results[COORDS].shape[0], results[dataset].shape
    return (
        {"patches": patches, DIM: shape[1]} if len(shape) > 1 else embedding_numbers(read_array(path, dataset), patches)
    )


def _identity_updates(
    recipe: Recipe, trial: Trial, stem: str, specs: Mapping[OutputKey, tuple[dict[str, Any], str]]
) -> dict[OutputKey, IdentityUpdate]:
    """Return the new identities of a slide's features and of the embeddings that differ in these features alone."""
    results = Store(recipe.project.output).stored_results(stem, trial.stage.step.geometry)
    features = results.get(trial.stage.dataset)
    before = features.identity if features else None
    if before is None or _former(before) != trial.former or results[COORDS].fingerprint is None:
        return {}
    fingerprints = {trial.stage.upstream[0]: str(results[COORDS].fingerprint)}
    after = identity_of(trial.stage, fingerprints, spec=specs[trial.stage.step][0])
    updates = {trial.stage.step: IdentityUpdate(trial.stage.dataset, before.fingerprint, after)}
    old, new = (fingerprints | {trial.stage.step: identity.fingerprint} for identity in (before, after))
    for step, (spec, _) in specs.items():
        stage = recipe.stage(step)
        if step != trial.stage.step and _has_identity(results.get(stage.dataset), identity_of(stage, old, spec=spec)):
            was, now = (identity_of(stage, inputs, spec=spec) for inputs in (old, new))
            updates[step] = IdentityUpdate(stage.dataset, was.fingerprint, now)
    return updates


def _has_identity(result: StoredResult | None, identity: Identity) -> bool:
    return result is not None and result.fingerprint == identity.fingerprint


def _restamped_outcome(
    recipe: Recipe,
    stem: str,
    step: OutputKey,
    update: IdentityUpdate,
    code_version: str,
    canary: Canary,
    seconds: float,
) -> Outcome:
    geometry = step.geometry
    path = Store(recipe.project.output).h5(stem, geometry)
    names = {f"{geometry}/{name}" if geometry else name: value for name, value in update.identity.inputs.items()}
    return Outcome(
        stem,
        step,
        Status.RESTAMPED,
        update.identity.fingerprint,
        code_version,
        why=canary.text,
        numbers=_measures(path, update.name) | {f"canary_{name}": value for name, value in canary.numbers.items()},
        facts={RESTAMPED_FROM: update.before},
        inputs=names,
        seconds=seconds,
        path=path,
    )

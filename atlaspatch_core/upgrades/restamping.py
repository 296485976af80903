"""Stored results that get the identity that is asked for now, because a canary showed the same numbers."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.pipeline.steps.embedding import embedding_numbers
from atlaspatch_core.storage.hdf5 import StoredResult, read_array, read_stored_results
from atlaspatch_core.storage.hdf5_stamps import IdentityUpdate
from atlaspatch_core.storage.schema import COORDS, DIM, RESTAMPED_FROM
from atlaspatch_core.storage.store import Store
from atlaspatch_core.upgrades.comparison import Canary
from atlaspatch_core.upgrades.trial import Trial, former_of
from atlaspatch_core.validity.identities import identity_of
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import Recipe


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
    if before is None or former_of(before) != trial.former or results[COORDS].fingerprint is None:
        return {}
    fingerprints = _other_inputs(recipe, trial, results)
    after = identity_of(trial.stage, fingerprints, spec=specs[trial.stage.step][0])
    updates = {trial.stage.step: IdentityUpdate(trial.stage.dataset, before.fingerprint, after)}
    old, new = (fingerprints | {trial.stage.step: identity.fingerprint} for identity in (before, after))
    for step, (spec, _) in specs.items():
        stage = recipe.stage(step)
        if step == trial.stage.step or any(up not in old for up in stage.upstream):
            continue
        if _has_identity(results.get(stage.dataset), identity_of(stage, old, spec=spec)):
            was, now = (identity_of(stage, inputs, spec=spec) for inputs in (old, new))
            updates[step] = IdentityUpdate(stage.dataset, was.fingerprint, now)
    return updates


def _other_inputs(recipe: Recipe, trial: Trial, results: Mapping[str, StoredResult]) -> dict[OutputKey, str]:
    """Return the fingerprints of the coords and of all features but the tried ones: an embedding may take several."""
    kinds, geometry = ("patch_coords", "patch_features"), trial.stage.step.geometry
    others = [stage for stage in recipe.stages if stage.step.kind in kinds and stage.step.geometry == geometry]
    inputs = {stage.step: results.get(stage.dataset) for stage in others if stage.step != trial.stage.step}
    return {step: str(result.fingerprint) for step, result in inputs.items() if result}


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
        recipe=update.identity.spec,
        seconds=seconds,
        path=path,
    )

"""The proof that adopted numbers are what the project's encoder gives: some of them are computed again."""

from dataclasses import replace
from time import perf_counter

import numpy as np

from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.interop.adopt.coords import ForeignPatches
from atlaspatch_core.interop.adopt.provenance import Marks
from atlaspatch_core.interop.adopt.result import AdoptStatus
from atlaspatch_core.interop.adopt.vectors import AdoptedVectors
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.storage.hdf5 import read_array
from atlaspatch_core.storage.hdf5_changes import IdentityUpdate
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store
from atlaspatch_core.upgrades.canary import CanarySpec, canary_spec, run_canary
from atlaspatch_core.upgrades.comparison import Canary, CanarySample, compare
from atlaspatch_core.validity.recipe import OutputSpec


def prove_vectors(
    work: SlideWork,
    cut: ForeignPatches,
    part: AdoptedVectors,
    store: Store,
    patches: int,
    marks: Marks,
    *,
    dry_run: bool,
) -> AdoptedVectors:
    """Return a part as verified where numbers that are computed again are the same, else with what differs.

    Features: ``patches`` patches of the slide, drawn by a seed, are encoded again. An embedding is computed again
    from the features in the output, where these are proven.
    """
    assert part.stage is not None
    if dry_run:
        return replace(part, why=f"{part.why}; {patches} patches would be tried")
    try:
        canary = _canary(work, cut, part.stage, part.name, store, patches)
        if isinstance(canary, str) or not canary.same:
            return replace(part, why=canary if isinstance(canary, str) else _describe_canary(part.stage, canary))
        return _stamped(work, cut, part, part.stage, canary, store, marks)
    except AtlasPatchError as error:
        return replace(part, why=f"not tried: {error}")


def _canary(
    work: SlideWork, cut: ForeignPatches, stage: OutputSpec, name: str, store: Store, patches: int
) -> Canary | str:
    work.run.model(stage)  # weights that had to be fetched are known by their hash only then
    tolerance = canary_spec(work.run.recipe.project).tolerance
    if stage.step.kind == "patch_features":
        return run_canary(work.run.recipe, stage, [work.source], CanarySpec(1, patches, tolerance=tolerance))
    source = stage.upstream[-1]
    features = next(other for other in work.run.recipe.stages if other.step == source)
    if work.fingerprints.get(source) != work.identity(features).fingerprint:
        return "the features that it is made of are not proven"
    since, path = perf_counter(), store.h5(work.stem, cut.geometry.name)
    values, corners = read_array(path, features.dataset), read_array(path, COORDS)[:, :2].astype(np.int64)
    new = encode_slide(work.run.model(stage), values, corners, cut.sampling.patch_size_level0)
    return compare([CanarySample(read_array(path, name)[None], new[None], perf_counter() - since)], tolerance)


def _stamped(
    work: SlideWork,
    cut: ForeignPatches,
    part: AdoptedVectors,
    stage: OutputSpec,
    canary: Canary,
    store: Store,
    marks: Marks,
) -> AdoptedVectors:
    assert part.identity is not None
    expected = work.identity(stage)
    stamp = IdentityUpdate(part.name, part.identity.fingerprint, expected, marks.verified(canary))
    store.restamp(work.stem, cut.geometry.name, [stamp], canary.numbers)
    return replace(part, fate=AdoptStatus.VERIFIED, why=_describe_canary(stage, canary), identity=expected, stamp=stamp)


def _describe_canary(stage: OutputSpec, canary: Canary) -> str:
    """Return what came of it, in words."""
    if stage.step.kind == "patch_features":
        return canary.text
    head = f"computed again from its features: cosine {canary.least_cosine:.6f}"
    return head if canary.same else f"{head}; {'; '.join(canary.differences)}"

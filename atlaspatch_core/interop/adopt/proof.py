"""The proof that adopted numbers are what the project's encoder gives: some of them are computed again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from atlaspatch_core.encoders.inference import encode_slide
from atlaspatch_core.encoders.patch_encoders import PatchEncoders
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.interop.adopt.coords import ForeignPatches
from atlaspatch_core.interop.adopt.provenance import DIFFERENT, REFUTED, VERIFIED, Marks
from atlaspatch_core.interop.adopt.result import AdoptStatus
from atlaspatch_core.interop.adopt.sampling import SMALLEST, RowSample, Verify, draw_rows
from atlaspatch_core.interop.adopt.vectors import AdoptedVectors
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.storage.hdf5 import read_array, read_claim
from atlaspatch_core.storage.hdf5_stamps import IdentityUpdate
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store
from atlaspatch_core.upgrades.canary import canary_spec, encode_again, stored_grid
from atlaspatch_core.upgrades.comparison import Canary, CanarySample, Tolerance, compare, compare_rows
from atlaspatch_core.validity.recipe import OutputSpec


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of numbers that were computed again."""

    canary: Canary
    text: str
    """What was shown, and of which rows."""
    tried: Mapping[str, Any] = field(default_factory=dict)
    """What the recipe says of the rows that were tried."""


def prove_vectors(
    work: SlideWork,
    cut: ForeignPatches,
    part: AdoptedVectors,
    store: Store,
    verify: Verify,
    marks: Marks,
    *,
    dry_run: bool,
) -> AdoptedVectors:
    """Return a part as verified where numbers that are computed again are the same, else with what differs.

    Features: ``verify`` rows of the slide, some of every kind of patch, are encoded again. An embedding is computed
    again from the features in the output, where these are proven.
    """
    assert part.stage is not None
    if dry_run:
        return replace(part, why="; ".join(filter(None, (part.why, f"{verify} patches would be tried"))))
    try:
        proof = _prove(work, cut, part.stage, part.name, store, verify)
        if isinstance(proof, str):
            return replace(part, why=proof)
        return (_stamped if proof.canary.same else _refuted)(work, cut, part, part.stage, proof, store, marks)
    except AtlasPatchError as error:
        return replace(part, why=f"not tried: {error}")


def _prove(
    work: SlideWork, cut: ForeignPatches, stage: OutputSpec, name: str, store: Store, verify: Verify
) -> Proof | str:
    """Return what came of it, or why nothing was tried."""
    work.run.model(stage)  # weights that had to be fetched are known by their hash only then
    tolerance = canary_spec(work.run.recipe.project).tolerance
    if stage.step.kind == "patch_features":
        return _prove_features(work, cut, stage, store, verify, tolerance)
    sources = [work.run.recipe.stage(step) for step in stage.features]
    if any(work.fingerprints.get(source.step) != work.identity(source).fingerprint for source in sources):
        return "the features that it is made of are not proven"
    since, path = perf_counter(), store.h5(work.stem, cut.geometry.name)
    values = tuple(read_array(path, source.dataset) for source in sources)
    corners = read_array(path, COORDS)[:, :2].astype(np.int64)
    new = encode_slide(work.run.model(stage), values, corners, cut.sampling.patch_size_level0)
    canary = compare([CanarySample(read_array(path, name)[None], new[None], perf_counter() - since)], tolerance)
    head = f"computed again from its features: cosine {canary.least_cosine:.6f}"
    return Proof(canary, head if canary.same else f"{head}; {'; '.join(canary.differences)}")


def _prove_features(
    work: SlideWork, cut: ForeignPatches, stage: OutputSpec, store: Store, verify: Verify, tolerance: Tolerance
) -> Proof:
    grid = stored_grid(store.h5(work.stem, cut.geometry.name))
    sample = draw_rows(grid, work.slide_info(), cut.slide.corners, verify, work.stem)
    rows, encoders = sample.rows.tolist(), PatchEncoders([work.run.model(stage)])
    encoded = encode_again(work.run.recipe, stage, work.source, grid, rows, encoders)
    canary = compare([encoded], tolerance)
    tried = {"of": sample.total, "rows": sample.counts}
    if canary.same:
        rest = "" if sample.is_whole else "; of the others nothing is known"
        text = f"numerically the same: {sample.text}, cosine at least {canary.least_cosine:.6f}{rest}"
        return Proof(canary, text, tried)
    return Proof(canary, f"different: {sample.text}; {_differing(encoded, sample, canary)}", tried)


def _differing(encoded: CanarySample, sample: RowSample, canary: Canary) -> str:
    """Return which of the rows that were tried differ, and by how much."""
    clauses = "; ".join(canary.differences)
    if encoded.stored.shape != encoded.new.shape:
        return clauses
    differing = compare_rows(encoded.stored, encoded.new).differing(canary.tolerance)
    where = f"{int(differing.sum())} differ ({sample.describe_differing(differing)}); " if differing.any() else ""
    return f"{where}{clauses}"


def _stamped(
    work: SlideWork,
    cut: ForeignPatches,
    part: AdoptedVectors,
    stage: OutputSpec,
    proof: Proof,
    store: Store,
    marks: Marks,
) -> AdoptedVectors:
    assert part.identity is not None
    expected = work.identity(stage)
    claim = marks.verified(proof.canary, proof.tried)
    stamp = IdentityUpdate(part.name, part.identity.fingerprint, expected, claim)
    store.restamp(work.stem, cut.geometry.name, [stamp], proof.canary.numbers)
    return replace(part, fate=AdoptStatus.VERIFIED, why=proof.text, identity=expected, stamp=stamp)


def _refuted(
    work: SlideWork,
    cut: ForeignPatches,
    part: AdoptedVectors,
    stage: OutputSpec,
    proof: Proof,
    store: Store,
    marks: Marks,
) -> AdoptedVectors:
    """Return a part as unverified because it is not what is computed, and have its file say so."""
    assert part.identity is not None
    kind, inputs = stage.step.kind, part.identity.inputs
    identity = marks.unverified(kind, inputs, DIFFERENT, encoder=stage.step.encoder)
    refuted = replace(part, fate=AdoptStatus.UNVERIFIED, why=proof.text, identity=identity)
    claim = marks.refuted(proof.canary, proof.tried)
    if read_claim(store.h5(work.stem, cut.geometry.name), part.name).get(REFUTED) == claim[REFUTED]:
        return refuted
    stamp = IdentityUpdate(part.name, part.identity.fingerprint, identity, claim)
    store.restamp(work.stem, cut.geometry.name, [stamp], proof.canary.numbers)
    return refuted


def has_more_to_show(path: Path, part: AdoptedVectors, verify: Verify) -> bool:
    """Tell whether ``verify`` rows can show more of an adopted result than was shown when rows were tried before.

    What was the same on a sample may differ on more rows; what differed is not the same because fewer rows are tried.
    """
    if part.fate is not AdoptStatus.THERE and part.dataset is not None:
        return True
    claim = read_claim(path, part.name)
    shown = claim.get(VERIFIED) if part.fate is AdoptStatus.THERE else claim.get(REFUTED)
    if not shown:
        return part.fate is not AdoptStatus.THERE
    tried, total = shown["patches"], shown.get("of", shown["patches"])
    if part.fate is AdoptStatus.THERE:
        return tried < total and (verify == "all" or verify > tried)
    return verify == "all" or max(verify, SMALLEST) >= tried

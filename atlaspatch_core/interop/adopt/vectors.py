"""Features and embeddings: matched to the patches, marked with what is known of their making."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import Identity, is_unverified
from atlaspatch_core.interop.adopt.coords import AdoptedCoords, ForeignPatches
from atlaspatch_core.interop.adopt.foreign_slide import VectorTable, read_rows_of, read_vector
from atlaspatch_core.interop.adopt.outlines import same_patches
from atlaspatch_core.interop.adopt.provenance import NO_ENCODER, NO_WEIGHTS, OF_OTHERS, Marks
from atlaspatch_core.interop.adopt.result import AdoptStatus
from atlaspatch_core.layouts.found import Holds
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.provenance import provenance
from atlaspatch_core.storage import schema
from atlaspatch_core.storage.hdf5 import StoredResult
from atlaspatch_core.storage.hdf5_changes import Dataset
from atlaspatch_core.storage.hdf5_stamps import IdentityUpdate
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import OutputSpec
from atlaspatch_core.validity.rules import is_valid, stale_reason

KINDS = {Holds.FEATURES: "patch_features", Holds.EMBEDDING: "slide_embedding"}


@dataclass(frozen=True, slots=True, eq=False)
class AdoptedVectors:
    """What is to become of one table."""

    name: str
    """Path of the dataset."""
    fate: AdoptStatus
    why: str = ""
    stage: OutputSpec | None = None
    """None where the project has no such encoder."""
    identity: Identity | None = None
    """That it has, or is to get."""
    dataset: Dataset | None = None
    """To be written; None where it lies there already, or is left out."""
    stamp: IdentityUpdate | None = None
    sound: bool = True
    """Whether it is of the very patches; only then may it be proven or accepted."""


def adopted_vectors(
    work: SlideWork, cut: ForeignPatches, coords: AdoptedCoords, results: Mapping[str, StoredResult], marks: Marks
) -> Iterator[AdoptedVectors]:
    """Yield what is to become of every table of a slide, features first."""
    for holds in (Holds.FEATURES, Holds.EMBEDDING):
        for table in cut.slide.tables:
            if table.holds is holds and len(coords.corners):
                part = _part(work, cut, coords, results, marks, table)
                if part.stage and part.identity:
                    work.fingerprints[part.stage.step] = part.identity.fingerprint
                yield part


def _part(
    work: SlideWork,
    cut: ForeignPatches,
    coords: AdoptedCoords,
    results: Mapping[str, StoredResult],
    marks: Marks,
    table: VectorTable,
) -> AdoptedVectors:
    name = f"{schema.PLACES[KINDS[table.holds]]}/{table.encoder}"
    if not table.encoder:
        return AdoptedVectors(
            schema.PLACES[KINDS[table.holds]],
            AdoptStatus.LEFT,
            "nothing says which encoder made them; name it by --patch-encoder",
        )
    stage = stage_of(work, OutputKey(KINDS[table.holds], table.encoder, cut.geometry.name))
    if name in results:
        return _on_disk(work, results[name], stage, coords, marks)
    try:
        values = read_rows_of(table, coords.corners) if table.holds is Holds.FEATURES else read_vector(table)
    except AtlasPatchError as error:
        return AdoptedVectors(name, AdoptStatus.LEFT, str(error))
    wrong = values if isinstance(values, str) else _wrong(values, stage)
    if isinstance(values, str) or wrong:
        return AdoptedVectors(name, AdoptStatus.LEFT, f"{wrong}; 'atlaspatch audit' says more")
    part = _new_vectors(work, name, stage, coords, marks, table)
    assert part.identity is not None
    attributes = _attributes(cut, coords, table, stage, values)
    claim = marks.accepted if part.fate is AdoptStatus.ACCEPTED else {}
    return replace(part, dataset=Dataset(name, values, part.identity, attributes, claim))


def stage_of(work: SlideWork, step: OutputKey) -> OutputSpec | None:
    """Return the stage that makes a step's output; None where the project makes no such."""
    return next((stage for stage in work.run.recipe.stages if stage.step == step), None)


def _on_disk(
    work: SlideWork, result: StoredResult, stage: OutputSpec | None, coords: AdoptedCoords, marks: Marks
) -> AdoptedVectors:
    """Return what is to become of a result that the output has: only unverified ones are touched."""
    stored, expected = result.identity, expected_of(work, stage)
    if isinstance(expected, Identity) and is_valid(result.fingerprint, expected.fingerprint):
        return AdoptedVectors(result.name, AdoptStatus.THERE, stage=stage, identity=expected)
    if stored is None or not is_unverified(stored):
        why = stale_reason(stored, expected) if isinstance(expected, Identity) else expected
        return AdoptedVectors(result.name, AdoptStatus.THERE, f"stale: {why}" if why else "", stage, stored)
    reason = str(stored.spec.get("reason"))
    part = AdoptedVectors(result.name, AdoptStatus.UNVERIFIED, reason, stage, stored, sound=reason != OF_OTHERS)
    return accepted(work, part, coords, marks) if marks.accept else part


def accepted(work: SlideWork, part: AdoptedVectors, coords: AdoptedCoords, marks: Marks) -> AdoptedVectors:
    """Return an unverified result as one that a person takes as it is, where that can be done."""
    expected = expected_of(work, part.stage)
    if not isinstance(expected, Identity) or part.identity is None or not (coords.valid and part.sound):
        return replace(part, why=expected if isinstance(expected, str) and expected else part.why)
    stamp = IdentityUpdate(part.name, part.identity.fingerprint, expected, marks.accepted)
    return replace(part, fate=AdoptStatus.ACCEPTED, why="", identity=expected, stamp=stamp)


def expected_of(work: SlideWork, stage: OutputSpec | None) -> Identity | str:
    """Return what an output is to be, or why that is not known."""
    if stage is None:
        return NO_ENCODER
    if any(step not in work.fingerprints for step in stage.upstream):
        return "the features that it is made of are not there"
    try:
        return work.identity(stage)
    except AtlasPatchError as error:
        return str(error)


def _new_vectors(
    work: SlideWork, name: str, stage: OutputSpec | None, coords: AdoptedCoords, marks: Marks, table: VectorTable
) -> AdoptedVectors:
    """Return the identity of a new result: the project's where a person accepts it, else one that says it is open."""
    sound = table.holds is Holds.FEATURES or same_patches(table.corners, coords.corners)
    reason = NO_WEIGHTS if stage else NO_ENCODER
    reason = reason if sound else OF_OTHERS
    expected = expected_of(work, stage)
    if marks.accept and sound and coords.valid and isinstance(expected, Identity):
        return AdoptedVectors(name, AdoptStatus.ACCEPTED, "", stage, expected)
    why = expected if marks.accept and stage and isinstance(expected, str) else reason
    inputs = {"patch_coords": coords.identity.fingerprint} if coords.identity else {}
    if isinstance(expected, Identity):
        inputs = dict(expected.inputs)
    identity = marks.unverified(KINDS[table.holds], inputs, reason, encoder=table.encoder)
    return AdoptedVectors(name, AdoptStatus.UNVERIFIED, why, stage, identity, sound=sound)


def _wrong(values: NDArray[np.float32], stage: OutputSpec | None) -> str:
    """Return why numbers cannot be an encoder's, or an empty text."""
    if not np.isfinite(values).all():
        return f"{int((~np.isfinite(values)).sum())} numbers are not finite"
    encoder = stage.encoder if stage else None
    if encoder is None or encoder.dim in (None, values.shape[-1]):
        return ""
    return f"it has {values.shape[-1]} dims, {encoder.name} gives {encoder.dim}"


def _attributes(
    cut: ForeignPatches,
    coords: AdoptedCoords,
    table: VectorTable,
    stage: OutputSpec | None,
    values: NDArray[np.float32],
) -> dict[str, Any]:
    """Return what readers look for, and where it was taken from."""
    encoder = stage.encoder if stage else None
    attributes: dict[str, Any] = {schema.LICENSE: encoder.license} if encoder else {}
    if table.holds is Holds.FEATURES:
        attributes |= {schema.NAME: table.encoder, schema.DIM: values.shape[1], schema.PRECISION: "unknown"}
    else:
        attributes |= {
            schema.ENCODER_NAME: table.encoder,
            schema.NUM_PATCHES: len(coords.corners),
            schema.PATCH_SIZE: cut.geometry.patch_size,
            schema.TARGET_MAGNIFICATION: cut.geometry.magnification,
            schema.PATCH_SIZE_LEVEL0: cut.sampling.patch_size_level0,
        }
        if isinstance(encoder, SlideEncoder):
            attributes[schema.SOURCE_PATCH_ENCODER] = ", ".join(encoder.patch_encoders)
    return attributes | {schema.ADOPTED_FROM: str(table.path)} | provenance()

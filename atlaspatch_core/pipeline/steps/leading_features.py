"""Features that are the first numbers of others: the class token of a network whose class token and mean are there."""

from dataclasses import replace
from time import perf_counter

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.errors import DamagedOutput
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.provenance import provenance
from atlaspatch_core.storage.hdf5 import StoredResult, read_array, read_attributes
from atlaspatch_core.storage.hdf5_changes import Dataset
from atlaspatch_core.storage.schema import COORDS, DIM, LICENSE, NAME, PRECISION, READ_BY, REVISION
from atlaspatch_core.validity.identities import identity_of
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import EMPTY, OutputSpec
from atlaspatch_core.validity.rules import compute_reason, has_all_rows

TAKEN_OVER = (PRECISION, REVISION, READ_BY, LICENSE)
"""Attributes of the features that others are cut from, which hold for these, too."""


def whole_stage(stage: OutputSpec) -> OutputSpec | None:
    """Return the stage of the encoder whose first numbers a stage's are; None where there is none.

    Its weights, its network and its input are those of the stage: they are one network.
    """
    encoder = stage.encoder
    if not isinstance(encoder, PatchEncoder) or encoder.whole is None or not encoder.leads:
        return None
    parts = {name: getattr(encoder, name) for name in ("architecture", "source", "transform", "plugin")}
    step = replace(stage.step, encoder=encoder.whole.name)
    return replace(stage, step=step, encoder=replace(encoder.whole, **parts))


def cut_features(work: SlideWork, stage: OutputSpec, stored: StoredResult | None) -> Outcome | None:
    """Keep a stage's features as the first numbers of valid ones of the same network, without reading a px.

    None where the stage is valid as it is stored, or there are none.
    """
    since = perf_counter()
    whole = whole_stage(stage)
    if whole is None or work.forced(stage) or (source := _valid(work, whole)) is None:
        return None
    expected = work.identity(stage)
    why = work.reason(stage, stored, expected)
    encoder, geometry = stage.encoder, stage.geometry
    if not why or encoder is None or geometry is None:
        return None
    try:
        values = read_array(source.path, source.name, source.fingerprint)[:, : encoder.dim]
    except DamagedOutput:
        return None
    attributes = {key: value for key, value in read_attributes(source.path, source.name).items() if key in TAKEN_OVER}
    attributes |= {NAME: encoder.name, DIM: values.shape[1]} | provenance()
    work.store.write_results(
        work.stem, geometry.name, work.coords[geometry.name], [Dataset(stage.dataset, values, expected, attributes)]
    )
    work.features[stage.step] = values
    numbers, facts = {"patches": len(values), "dim": values.shape[1]}, {"cut_from": whole.step.encoder or ""}
    return work.outcome(
        stage, Status.COMPUTED, expected.fingerprint, since, why=why, numbers=numbers, facts=facts, path=source.path
    )


def _valid(work: SlideWork, stage: OutputSpec) -> StoredResult | None:
    """Return the features of a stage where they are stored, whole and valid."""
    results = work.stored_results[stage.step.geometry]
    stored = results.get(stage.dataset)
    if stored is None or not has_all_rows(stage.step, stored.shape[0], results[COORDS].shape[0]):
        return None
    expected = identity_of(stage, work.fingerprints, EMPTY, stage.spec)
    return None if compute_reason(stored, expected, forced=False) else stored

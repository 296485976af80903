"""Which patches a slide gets, and whether they are provably those that our grid gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.fingerprint import Identity, is_unverified
from atlaspatch_core.interop.adopt.foreign_slide import Corners, ForeignSlide, match_rows
from atlaspatch_core.interop.adopt.outlines import same_patches
from atlaspatch_core.interop.adopt.provenance import OTHER_PATCHES, Marks
from atlaspatch_core.interop.adopt.result import AdoptStatus
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.coords import grid_facts, lay_patches
from atlaspatch_core.storage.hdf5 import StoredResult, read_array
from atlaspatch_core.storage.hdf5_stamps import IdentityUpdate
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.mask import TissueMask
from atlaspatch_core.validity.rules import is_valid, stale_reason


@dataclass(frozen=True, slots=True, eq=False)
class ForeignPatches:
    """The patches of one slide as others have them, and the geometry of the project that they are of."""

    geometry: Geometry
    slide: ForeignSlide
    sampling: Sampling


@dataclass(frozen=True, slots=True, eq=False)
class AdoptedCoords:
    """The patches that the output has, or is to get."""

    fate: AdoptStatus
    why: str
    identity: Identity | None
    """None where they cannot be taken over."""
    corners: Corners
    """In the order of their rows."""
    valid: bool = False
    """Whether they count as what the project asks for."""
    grid: PatchGrid | None = None
    """What is to be written; None where they lie there already."""
    claim: Mapping[str, Any] = field(default_factory=dict)
    stamp: IdentityUpdate | None = None


def adopt_coords(
    work: SlideWork, cut: ForeignPatches, store: Store, results: Mapping[str, StoredResult], marks: Marks
) -> AdoptedCoords:
    """Return which patches it is to be: those that lie there, those of our grid, or those of the others."""
    stage = work.run.recipe.stages_of("patch_coords", cut.geometry)[0]
    expected = work.identity(stage, grid_facts(work, cut.geometry, cut.sampling))
    if COORDS in results:
        return _on_disk(results[COORDS], expected, store.h5(work.stem, cut.geometry.name), marks)
    return _new(work, cut, expected, marks)


def _on_disk(result: StoredResult, expected: Identity, path: Any, marks: Marks) -> AdoptedCoords:
    corners = read_array(path, COORDS)[:, :2].astype(np.int64)
    if is_valid(result.fingerprint, expected.fingerprint):
        return AdoptedCoords(AdoptStatus.THERE, "", expected, corners, valid=True)
    stored = result.identity
    if stored is None or not is_unverified(stored) or stored.inputs != expected.inputs:
        why = f"the output has others, which are not what the project asks for ({stale_reason(stored, expected)})"
        return AdoptedCoords(AdoptStatus.LEFT, f"{why}; run the project, then adopt", None, corners)
    if not marks.accept:
        return AdoptedCoords(AdoptStatus.UNVERIFIED, str(stored.spec.get("reason")), stored, corners)
    stamp = IdentityUpdate(COORDS, stored.fingerprint, expected, marks.accepted)
    return AdoptedCoords(AdoptStatus.ACCEPTED, "", expected, corners, valid=True, stamp=stamp)


def _new(work: SlideWork, cut: ForeignPatches, expected: Identity, marks: Marks) -> AdoptedCoords:
    theirs = cut.slide.corners
    grid = lay_patches(work, cut.geometry)
    ours = grid.coords.astype(np.int64)
    if same_patches(ours, theirs):
        return AdoptedCoords(AdoptStatus.SAME, "", expected, ours, valid=True, grid=grid, claim=marks.same)
    outside = int((match_rows(theirs, ours) < 0).sum())
    if marks.accept:
        return AdoptedCoords(AdoptStatus.ACCEPTED, "", expected, theirs, True, _grid_of(work, cut), marks.accepted)
    if len(ours) and not outside:
        why = f"all {len(ours)} that our grid gives; it leaves out {len(theirs) - len(ours)} of theirs"
        return AdoptedCoords(AdoptStatus.SAME, why, expected, ours, valid=True, grid=grid, claim=marks.same)
    reason = f"{OTHER_PATCHES}: {outside} that they lack; with --keep-patches, a new output keeps theirs"
    facts = grid_facts(work, cut.geometry, cut.sampling)
    identity = marks.unverified("patch_coords", expected.inputs, OTHER_PATCHES, **facts)
    return AdoptedCoords(AdoptStatus.UNVERIFIED, reason, identity, theirs, grid=_grid_of(work, cut))


def _grid_of(work: SlideWork, cut: ForeignPatches) -> PatchGrid:
    """Return the patches of the others as a grid of ours."""
    info, corners = work.slide_info(), cut.slide.corners
    tissue = TissueMask.from_polygons(work.polygons(), info.width, info.height)
    fraction = tissue.coverage(corners, cut.sampling.patch_size_level0)
    return PatchGrid(corners.astype(np.int32), fraction, cut.sampling)

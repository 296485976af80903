"""Third step: where do the patches of a geometry lie?"""

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from shapely import Polygon

from atlaspatch_core import __version__
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.errors import OutOfDate, UnreadableOutput, UnusableMask
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.hidden_names import without_hidden_names
from atlaspatch_core.layouts.supplied_coords import SUPPLIED, SuppliedCoords
from atlaspatch_core.patches.filters import filter_grid
from atlaspatch_core.patches.grid import PatchGrid, coords5, lay_grid
from atlaspatch_core.patches.probes import Contours
from atlaspatch_core.patches.scale import Sampling, choose_sampling
from atlaspatch_core.pipeline.pictures import show_grid
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.pipeline.steps.provenance import provenance
from atlaspatch_core.pipeline.steps.supplied_coords import supplied_coords
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.overview import read_overview
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.storage import schema
from atlaspatch_core.storage.checksums import damaged_output
from atlaspatch_core.storage.hdf5 import StoredResult
from atlaspatch_core.storage.hdf5_changes import Dataset, coord_passports, write_new
from atlaspatch_core.storage.records import PLACEMENT, MaskRecord
from atlaspatch_core.storage.schema import COORDS, PASSPORTS, TISSUE_FRACTION
from atlaspatch_core.tissue.placement import bare_patches
from atlaspatch_core.tissue.quality_survey import SEEN_AT
from atlaspatch_core.tissue.supplied_masks import find_mask, read_drawing, tissue_values
from atlaspatch_core.validity.identities import coords_facts, drawing_facts, sampling_of
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import EMPTY, TISSUE_MASK, OutputSpec
from atlaspatch_core.validity.warnings import without_patches

PASSPORT_FORMAT = "{stem}__x{X}_y{Y}_rw{RW}_rh{RH}_lv{LV}_mag{MAG}_tmag{TMAG}_total{TOTAL}"
PASSPORT_VERSION = 2


def place_patches(work: SlideWork, stage: OutputSpec) -> Outcome:
    """Make sure of a slide's patch coordinates for one geometry."""
    since = perf_counter()
    geometry = stage.geometry
    assert geometry is not None
    results = {} if work.forced(stage) else work.store.stored_results(work.stem, geometry.name)
    supplied = supplied_coords(work, stage, _make)
    expected = _trusted(work, stage, results) or work.identity(stage, _facts(work, geometry, supplied))
    why = work.reason(stage, results.get(COORDS), expected)
    work.coords[geometry.name] = expected
    if why:
        earlier_results = {dataset: _identity(result) for dataset, result in results.items()}
        _write_coords(work, geometry, supplied.grid if supplied else _make(work, geometry), expected, supplied)
        results = work.store.stored_results(work.stem, geometry.name)
        work.dropped |= {
            (geometry.name, dataset): identity
            for dataset, identity in earlier_results.items()
            if dataset not in results
        }
    work.stored_results[geometry.name] = results
    on_glass = _notes_on_glass(work, stage, supplied, expected, fresh=bool(why)) if supplied else ()
    picture = show_grid(work, geometry, fresh=bool(why))
    return work.outcome(
        stage,
        Status.COMPUTED if why else Status.REUSED,
        expected.fingerprint,
        since,
        why=why,
        numbers=_numbers(results, sampling_of(expected), work.slide_info()),
        facts={"scale": geometry.scale, "rule": SUPPLIED if geometry.coords else geometry.rule},
        path=work.store.h5(work.stem, geometry.name),
        picture=picture,
        notes=(*_notes(work, geometry, results), *on_glass),
    )


def _notes(work: SlideWork, geometry: Geometry, results: Mapping[str, StoredResult]) -> tuple[str, ...]:
    """Return a word on tissue that gives no patch."""
    if results[COORDS].shape[0] or not work.polygons():
        return ()
    return (without_patches(geometry.name),)


def _notes_on_glass(
    work: SlideWork, stage: OutputSpec, supplied: SuppliedCoords, identity: Identity, *, fresh: bool
) -> tuple[str, ...]:
    """Return a word on supplied patches that show glass, as they were found when they were taken over."""
    if supplied.path == work.store.h5(work.stem, stage.step.geometry):  # laid here
        return ()
    if not fresh:
        notes = work.step_notes.get(f"{stage.step}{PLACEMENT}")
        return notes.texts if notes and notes.fingerprint == identity.fingerprint else ()
    corners, side = supplied.grid.coords, supplied.grid.sampling.patch_size_level0
    bare = bare_patches(read_overview(work.slide(), SEEN_AT), corners, side)
    bound = work.run.recipe.project.quality.max_glass_share
    text = ""
    if len(bare) and bare.mean() > bound:
        x, y = corners[bare][0].tolist()
        text = (
            f"{bare.mean():.0%} of the supplied patches show nothing but glass, more than {bound:.0%}: look at "
            f"x {x:,}, y {y:,}, and give coords of this slide, in level-0 px"
        )
    work.keep_notes(f"{stage.step}{PLACEMENT}", identity.fingerprint, [text] if text else [])
    return (text,) if text else ()


def _facts(work: SlideWork, geometry: Geometry, supplied: SuppliedCoords | None) -> dict[str, Any]:
    if supplied:
        return supplied.facts(work.slide_info())
    return grid_facts(work, geometry, choose_sampling(work.slide_info(), geometry.spec))


def grid_facts(work: SlideWork, geometry: Geometry, sampling: Sampling) -> dict[str, Any]:
    """Return what of a slide and its mask decides the coords of a grid, beside the mask's polygons."""
    facts = coords_facts(work.slide_info(), sampling, geometry.filters)
    mask = _mask_as_supplied(work) if geometry.rule != "lattice" else None
    share = work.run.recipe.project.tissue.min_tissue_share
    return facts | drawing_facts(geometry.rule, mask.drawing if mask else "", share)


def _mask_as_supplied(work: SlideWork) -> MaskRecord | None:
    """Return the record of the mask that was supplied; None for one of a segmenter, or that was edited since.

    Raises UnusableMask where it was taken over for our rule alone, which keeps nothing of how it was drawn: an identity
    without that would stand for other patches, too.
    """
    mask = work.store.read_record(work.stem).tissue_mask
    if not (mask and mask.supplied and mask.polygons == work.fingerprints[TISSUE_MASK]):
        return None
    if not mask.drawing:
        raise UnusableMask(
            f"{work.stem}: its mask was taken over by the rule lattice, which does not keep how it was drawn; take it "
            "over again by the rule that is asked for now (run --task seg)"
        )
    return mask


def _trusted(work: SlideWork, stage: OutputSpec, results: Mapping[str, StoredResult]) -> Identity | None:
    """Return what decided stored coords that are trusted; None where the recipe decides.

    Raises OutOfDate when the slide or its mask changed after they were laid, or their patches have another size.
    """
    stored = results[COORDS].identity if COORDS in results and work.trusted(stage) else None
    if stored is None or stage.geometry is None or "sampling" not in stored.spec:
        return None
    if stored.fingerprint != results[COORDS].fingerprint:
        path = work.store.h5(work.stem, stage.geometry.name)
        raise damaged_output(path, COORDS, "says of itself what does not go together")
    work.check_inputs(stage, stored)
    size = sampling_of(stored).patch_size
    if size != stage.geometry.patch_size:
        raise OutOfDate(
            f"{work.stem}: its patches are {size} px wide and {stage.geometry.patch_size} px are asked for; "
            f"give the patch size {size}, or lay them anew"
        )
    return stored


def _identity(result: StoredResult) -> Identity | None:
    try:
        return result.identity
    except UnreadableOutput:
        return None


def _make(work: SlideWork, geometry: Geometry) -> PatchGrid:
    grid = lay_patches(work, geometry)
    if geometry.filters is None or not len(grid):
        return grid
    return filter_grid(work.slide(), grid, geometry.filters, workers=work.run.recipe.project.runtime.readers)


def lay_patches(work: SlideWork, geometry: Geometry) -> PatchGrid:
    """Return the patches of a geometry by its rule, whatever they show."""
    drawn, contours = _drawing(work, geometry)
    return lay_grid(work.slide_info(), drawn, geometry.spec, contours)


def _drawing(work: SlideWork, geometry: Geometry) -> tuple[Sequence[Polygon], Sequence[Contours] | None]:
    """Return the outlines, and the contours around the same tissue, as the geometry's rule wants them.

    By the rules of others a mask that was supplied counts as it was drawn: corner for corner, or px for px.
    """
    project = work.run.recipe.project
    mask = None if geometry.rule == "lattice" else _mask_as_supplied(work)
    if mask is None:
        return work.polygons(), None
    path = find_mask(project.slides.masks, work.stem, project.names_of, lambda: work.source.path.parent)
    if path is None:
        raise UnusableMask(f"{work.stem}: the mask that was supplied is gone; put it back, or run the step tissue_mask")
    labels = tissue_values(path, work.stem, project.slides.mask_values)
    share = project.tissue.min_tissue_share if geometry.rule == "atlaspatch" else 0.0
    origin = project.slides.masks_origin
    polygons, contours = read_drawing(path, work.slide_info(), origin, labels, share, mask.drawing)
    return work.polygons() if polygons is None else polygons, contours if geometry.rule == "atlaspatch" else None


def _write_coords(
    work: SlideWork, geometry: Geometry, grid: PatchGrid, identity: Identity, supplied: SuppliedCoords | None
) -> None:
    work.grids[geometry.name] = grid
    path = work.store.h5(work.stem, geometry.name)
    attributes = file_attributes(work.slide_info(), geometry, grid)
    if supplied:
        attributes |= {
            schema.OVERLAP: supplied.overlap,
            schema.RULE: SUPPLIED,
            schema.SUPPLIED_FROM: without_hidden_names(str(supplied.path))
            if supplied.path != path
            else f"laid here by the rule {geometry.rule}, for lack of others",
        }
    rows = work.run.recipe.project.runtime.write_rows
    write = write_new(path, datasets_of(work.stem, work.slide_info(), geometry, grid, identity), attributes, rows)
    work.store.write_coords(work.stem, geometry.name, write)


def datasets_of(
    stem: str,
    info: SlideInfo,
    geometry: Geometry,
    grid: PatchGrid,
    identity: Identity,
    claim: Mapping[str, Any] = EMPTY,
) -> list[Dataset]:
    """Return the coords of a grid and what goes with them; ``claim`` is what their recipe says beside the identity."""
    coords = coords5(grid)
    lines = coord_passports(stem, coords, info.magnification, geometry.magnification)
    return [
        Dataset(COORDS, coords, identity, provenance(), claim),
        Dataset(PASSPORTS, lines),
        Dataset(TISSUE_FRACTION, grid.tissue_fraction),
    ]


def file_attributes(info: SlideInfo, geometry: Geometry, grid: PatchGrid) -> dict[str, Any]:
    """Return the attributes that AtlasPatch's readers look for, and after them our own."""
    sampling = grid.sampling
    spec = geometry.spec
    theirs: dict[str, Any] = {
        schema.PATCH_SIZE: geometry.patch_size,
        schema.PATCH_SIZE_LEVEL0: sampling.patch_size_level0,
        schema.LEVEL0_MAGNIFICATION: round(info.magnification),
        schema.TARGET_MAGNIFICATION: geometry.magnification,
        schema.OVERLAP: spec.overlap,
        schema.LEVEL0_WIDTH: info.width,
        schema.LEVEL0_HEIGHT: info.height,
        schema.WSI_PATH: shown_path(info.path),
        schema.PASSPORT_FORMAT: PASSPORT_FORMAT,
        schema.PASSPORT_VERSION: PASSPORT_VERSION,
        schema.CREATION_DATE: provenance()[schema.CREATED_AT],
        schema.FILENAME: info.path.name,
        schema.NUM_PATCHES: len(grid.coords),
        schema.MPP: info.mpp,
        schema.MAGNIFICATION: round(info.magnification),
    }
    labels = {schema.VENDOR: info.vendor, schema.INSTITUTION: info.institution, schema.STAIN: info.stain}
    ours = {
        schema.STEP_SIZE: spec.step,
        schema.STEP_SIZE_LEVEL0: sampling.step_size_level0,
        schema.PATCH_MPP: sampling.mpp,
    }
    words = {
        schema.MPP_SOURCE: info.mpp_source,
        schema.SCALE: geometry.scale,
        schema.RULE: geometry.rule,
        schema.EDGE: spec.edge,
    }
    file_px = {schema.FILE_PX: info.file_px} if info.file_levels else {}
    stated_labels = {name: label for name, label in labels.items() if label}
    return (
        theirs
        | stated_labels
        | ours
        | words
        | file_px
        | {schema.MIN_TISSUE: geometry.min_tissue, schema.ATLASPATCH_VERSION: __version__}
    )


def _numbers(results: dict[str, StoredResult], sampling: Sampling, info: SlideInfo) -> dict[str, int | float]:
    patches = results[COORDS].shape[0]
    covered = patches * sampling.step_size_level0**2 / (info.width * info.height)
    sizes = {"patch_size_level0": sampling.patch_size_level0, "level": sampling.level, "patch_mpp": sampling.mpp}
    return {"patches": patches, **sizes, "share_of_slide": covered}

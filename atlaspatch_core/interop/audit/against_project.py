"""Results held against what a project asks for."""

from collections.abc import Iterable, Iterator
from math import isclose

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.layouts.found import ResultFolder
from atlaspatch_core.layouts.names import GeometryName
from atlaspatch_core.slides.sections import SeriesChoice
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, validities
from atlaspatch_core.validity.stored import stored_in_files
from atlaspatch_core.wording import format_count

UNTOLD = (
    "the content of the slides, the mask that the coords were cut from, the encoders' weights and precision, and the "
    "versions that computed it"
)
"""What TRIDENT, AtlasPatch and CLAM do not record."""
SHOWN = {State.STALE: "stale", State.FAILED: "failed", State.MISSING: "missing"}


def of_ours(
    recipe: Recipe, result_folder: ResultFolder, stems: Iterable[str], sources: Iterable[SlideSource]
) -> Iterator[AuditFinding]:
    """Yield outputs of ours that are not what the project asks for, by their fingerprints. Nothing is written.

    Told of are the slides of these ``stems`` and ``sources``, which carry what the user says of them.
    """
    project = recipe.project.model_copy(update={"output": result_folder.folder})
    here = Recipe(project, recipe.stages, recipe.cases)
    store = Store(result_folder.folder)
    stored = stored_in_files(here, remember=False)
    stated = {source.stem: source.mpp for source in sources}
    series: dict[str, SeriesChoice] = {source.stem: source.series for source in sources}
    every = sorted({*stems, *stated})
    for output in validities(here, every, stored, stated=stated, series=series, remember=False):
        if output.state in SHOWN and (output.state is not State.MISSING or output.step.kind != "slide"):
            kinds = {"slide": store.record(output.stem), "tissue_mask": store.geojson(output.stem)}
            path = kinds.get(output.step.kind, store.h5(output.stem, output.step.geometry))
            why = f": {output.why}" if output.why else ""
            yield AuditFinding(
                SHOWN[output.state],
                output.stem,
                path,
                f"{output.step} is {output.state}{why}",
                str(output.state),
                "fresh",
            )


def of_others(recipe: Recipe, result_folder: ResultFolder) -> Iterator[AuditFinding]:
    """Yield what cannot be told of results of others, and geometries that the project does not have."""
    text = f"cannot be held against the project in full: {result_folder.layout} does not record {UNTOLD}"
    yield AuditFinding("unverifiable", "", result_folder.folder, text)
    for group in result_folder.groups:
        if group.name and not any(fits(geometry, group.name) for geometry in recipe.project.geometry):
            names = ", ".join(str(name_of(spec)) for spec in recipe.project.geometry) or "none"
            yield AuditFinding(
                "not_in_project",
                "",
                group.folder,
                f"{format_count(len(group.files), 'file')} of this geometry; the project has {names}",
                str(group.name),
                names,
            )


def fits(geometry: Geometry, name: GeometryName) -> bool:
    """Say whether a geometry of a project has the patch size, magnification and overlap that a name says."""
    sizes = (geometry.patch_size, geometry.spec.overlap) == (name.patch_size, name.overlap)
    return sizes and isclose(geometry.magnification, name.magnification, rel_tol=0.01)


def name_of(geometry: Geometry) -> GeometryName:
    """Return what the folder of a geometry is called elsewhere."""
    return GeometryName(geometry.magnification, geometry.patch_size, geometry.spec.overlap)

"""From a selection of results to files in the target folder, slide by slide; one bad slide stops no other."""

import importlib.util
import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from atlaspatch_core.discovery.cohorts import stems_among
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.errors import AtlasPatchError, InvalidProject, MissingExtra, Unexpected
from atlaspatch_core.interop.export.foreign_layouts import artifacts_of, cohort_file
from atlaspatch_core.interop.export.layouts import find_layout
from atlaspatch_core.interop.export.placement import place_files
from atlaspatch_core.interop.export.selection import Choice
from atlaspatch_core.interop.export.valid_results import Selection, select
from atlaspatch_core.interop.export.values import Exported, ExportStatus, Options, Placed, SlideResults, Target
from atlaspatch_core.storage.atomic import remove_half_written
from atlaspatch_core.validity.recipe import Recipe

log = logging.getLogger(__name__)

EVERYTHING_FRESH = Choice()
DEFAULTS = Options()
NOTHING = "there is nothing of what this layout holds"


def export_slides(
    recipe: Recipe,
    layout: str,
    folder: Path,
    *,
    stems: Collection[str] | None = None,
    cohorts: Sequence[str] = (),
    choice: Choice = EVERYTHING_FRESH,
    options: Options = DEFAULTS,
    dry_run: bool = False,
    force: bool = False,
) -> Iterator[Exported]:
    """Yield what becomes of every slide of a project, or of these, as its files are written to ``folder``.

    What was exported before from the very same results is left alone. No slide is opened.

    Args:
        recipe: What the project asks for; results are read from its output folder.
        layout: A name in ``LAYOUTS``: trident, clam, pt, anndata, spatialdata, parquet, patches or geojson; or one of
            a plugin.
        folder: Where the files go.
        stems: Slides to export; all by default.
        cohorts: Only slides of these cohorts that lie in the project's folders; all by default.
        choice: Encoders and geometries, and whether stale results go too; by default all that is fresh.
        options: What layouts differ in, such as ``.pt`` beside ``.h5``.
        dry_run: Say what would be written, and write nothing.
        force: Replace files that this export did not write.

    Yields:
        One outcome a slide: written, unchanged, or refused with the reason.

    Raises:
        UnknownName: There is no such layout, or no slide of a cohort; raised at once, as are the others.
        InvalidProject: The folder cannot be the target, say for it is the output itself; a plugin cannot be used.
        MissingExtra: A library of the layout is not installed.

    Example:
        >>> [exported] = export_slides(recipe, "geojson", Path("qupath"))
        >>> exported.stem, [path.name for path in exported.written]
        ('CMU-1-Small-Region', ['CMU-1-Small-Region.geojson'])
    """
    target = Target(folder, find_layout(layout, recipe.project.plugins), options, dry_run=dry_run, force=force)
    if cohorts:
        stems = stems_among(find_slides(recipe.project).cohorts, cohorts, stems)
    return export_selected(select(recipe, choice, stems), target)


def export_selected(selection: Selection, target: Target) -> Iterator[Exported]:
    """Yield the same of a selection. Raises at once InvalidProject and MissingExtra."""
    check(selection, target)
    choice = replace(selection.choice, kinds=target.layout.holds(target.options))
    return export(replace(selection, choice=choice), target)


def check(selection: Selection, target: Target) -> None:
    """Raise InvalidProject for a target that cannot be, MissingExtra where the layout's library is not installed."""
    layout, folder = target.layout, target.folder
    layout.check(target.options)
    if layout.needs and importlib.util.find_spec(layout.needs[0]) is None:
        raise MissingExtra(
            f"layout {layout.name}: needs {layout.needs[0]}, which is not installed; "
            f"run: pip install 'atlaspatch[{layout.needs[1]}]'"
        )
    same = folder.resolve() == selection.store.output.resolve()
    if same and not layout.beside:
        raise InvalidProject(
            f"{folder}: the results themselves lie there; export layout {layout.name} to another folder"
        )
    if folder.exists() and not folder.is_dir():
        raise InvalidProject(f"{folder}: is a file; give a folder to export to")


def export(selection: Selection, target: Target) -> Iterator[Exported]:
    """Yield what becomes of every slide, as it is written; of a layout that is one file, once that is written."""
    if target.layout.artifacts is None:
        yield from _all_at_once(selection, target)
        return
    done: list[SlideResults] = []
    swept: set[Path] = set()
    for stem in selection.stems:
        exported, slide = _attempt(selection, target, stem, swept)
        if target.layout.cohort and slide is not None and exported.fate is not ExportStatus.FAILED:
            done.append(slide)
        yield exported
    if done and target.layout.cohort:
        cohort_file(done, target)


def _all_at_once(selection: Selection, target: Target) -> Iterator[Exported]:
    """Yield the fates of slides that go into one file."""
    slides = []
    for stem in selection.stems:
        try:
            slides.append(selection.results(stem))
        except AtlasPatchError as error:
            yield Exported(stem, ExportStatus.FAILED, str(error))
    placed = cohort_file(slides, target)
    for slide in slides:
        there = [placed] if any(geometry.embeddings for geometry in slide.geometries) else []
        yield _verdict(slide, there)


def _attempt(selection: Selection, target: Target, stem: str, swept: set[Path]) -> tuple[Exported, SlideResults | None]:
    """Return what becomes of a slide, and its results; what nobody foresaw fails this slide alone."""
    since = perf_counter()
    try:
        slide = selection.results(stem)
        slide = slide.in_file_px if target.layout.cuts_patches else slide
        return replace(_export(slide, target, swept), seconds=perf_counter() - since), slide
    except AtlasPatchError as error:
        return Exported(stem, ExportStatus.FAILED, str(error), seconds=perf_counter() - since), None
    except Exception as error:  # a slide that breaks a library in a way nobody foresaw stops no other
        log.exception("%s: the export failed unexpectedly", stem)
        unexpected = Unexpected(f"{stem}: the export failed unexpectedly: {error!r}")
        return Exported(stem, ExportStatus.FAILED, str(unexpected), seconds=perf_counter() - since), None


def _export(slide: SlideResults, target: Target, swept: set[Path]) -> Exported:
    artifacts = artifacts_of(slide, target)
    if not target.dry_run:
        folders = {(target.folder / artifact.path).parent for artifact in artifacts} - swept
        remove_half_written(target.folder, folders)
        swept |= folders
    return _verdict(
        slide, place_files(target.folder, slide.stem, artifacts, force=target.force, dry_run=target.dry_run)
    )


def _verdict(slide: SlideResults, placed: Sequence[Placed]) -> Exported:
    """Return the outcome of a slide, of which some results may be refused or missing."""
    by_fate: defaultdict[ExportStatus, list[Placed]] = defaultdict(list)
    for file in placed:
        by_fate[file.fate].append(file)
    written = [*by_fate[ExportStatus.WRITTEN], *by_fate[ExportStatus.PLANNED]]
    refused = [*slide.refused, *(file.why.removeprefix(f"{slide.stem}: ") for file in by_fate[ExportStatus.REFUSED])]
    missing = [f"never made: {', '.join(slide.missing)}"] if slide.missing else []
    why = [*refused, *missing] or ([] if placed or slide.without_patches else [NOTHING])
    fate = written[0].fate if written else ExportStatus.UNCHANGED
    if why:
        fate = ExportStatus.REFUSED if refused else ExportStatus.MISSING
    return Exported(
        slide.stem,
        fate,
        f"{slide.stem}: {'; '.join(why)}" if why else "",
        tuple(file.path for file in written),
        tuple(file.path for file in by_fate[ExportStatus.UNCHANGED]),
    )

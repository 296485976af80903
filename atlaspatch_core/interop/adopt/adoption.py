"""Results of others taken over slide by slide: what is provably the same, what is accepted, and what is marked."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import shapely

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.interop.adopt.coords import ForeignPatches
from atlaspatch_core.interop.adopt.foreign_slide import (
    ForeignSlide,
    contradiction,
    geometry_of,
    read_foreign,
    same_side,
)
from atlaspatch_core.interop.adopt.geometry import adopt_patches
from atlaspatch_core.interop.adopt.outlines import WantedPatches, choose_outlines, from_file, round_patches
from atlaspatch_core.interop.adopt.result import AdoptOutcome, AdoptStatus
from atlaspatch_core.interop.adopt.settings import AdoptSettings, AdoptTarget
from atlaspatch_core.interop.audit.against_project import fits, name_of
from atlaspatch_core.layouts.found import Group, ResultFile, ResultFolder
from atlaspatch_core.patches.scale import choose_sampling
from atlaspatch_core.pipeline.loaded_models import Models
from atlaspatch_core.pipeline.slide_work import RunContext, SlideWork
from atlaspatch_core.pipeline.steps.slide import identify_slide
from atlaspatch_core.pipeline.steps.tissue_mask import ensure_tissue_mask
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.contours import polygons_fingerprint, read_geojson
from atlaspatch_core.tissue.supplied_masks import find_mask, read_mask, tissue_values
from atlaspatch_core.validity.outcome import Outcome
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK, Recipe

Polygons = tuple[shapely.Polygon, ...]
NOTHING_PROVEN = AdoptSettings()


def adopt_folder(
    folder: ResultFolder,
    recipe: Recipe,
    sources: Iterable[SlideSource],
    settings: AdoptSettings = NOTHING_PROVEN,
) -> Generator[tuple[str, list[AdoptOutcome]]]:
    """Take over the results of TRIDENT, AtlasPatch or CLAM in a folder, slide by slide; the folder is not changed.

    Outlines become the slides' masks. Coords that our grid gives count as computed; features count where
    ``settings`` has some encoded again and they are the same. The rest is kept and marked as unverified.

    Args:
        folder: What ``recognise_folder`` says lies there.
        recipe: What the project asks for; its output folder is written to.
        sources: The slides that the results were made of, by stem.
        settings: Whether to verify, to accept on the user's word, or to write nothing (``dry_run``).

    Yields:
        Stem, and what became of each of its results; what goes wrong with a slide is an outcome, never an exception.

    Example:
        A dry run over a folder of TRIDENT's, as ``export_slides`` writes it.

        >>> job = recognise_folder(Path("trident"))
        >>> for stem, outcomes in adopt_folder(job, recipe, sources, AdoptSettings(dry_run=True)):
        ...     print(stem, [f"{outcome.what}: {outcome.fate}" for outcome in outcomes][:2])
        CMU-1-Small-Region ['outlines: already there', 'coords: already there']
    """
    by_stem = {source.stem: source for source in sources}
    with Adoption(folder, recipe, by_stem, settings) as adoption:
        for stem in folder.stems():
            yield stem, adoption.slide(stem)


@dataclass(slots=True)
class Adoption:
    """Takes over the results of one folder; a context manager that removes what a dry run wrote aside."""

    result_folder: ResultFolder
    recipe: Recipe
    sources: Mapping[str, SlideSource]
    settings: AdoptSettings = field(default_factory=AdoptSettings)
    _stack: ExitStack = field(default_factory=ExitStack)
    _run: RunContext | None = None

    @property
    def store(self) -> Store:
        """The output."""
        return Store(self.recipe.project.output, self.recipe.project.runtime.write_rows)

    @property
    def run(self) -> RunContext:
        """What the steps need; a dry run keeps the slides' records aside."""
        if self._run is None:
            aside = Path(self._stack.enter_context(TemporaryDirectory())) if self.settings.dry_run else None
            store = Store(aside) if aside else self.store
            steps = frozenset(stage.step for stage in self.recipe.stages)
            models = Models(self.recipe.project.runtime)
            self._run = RunContext(self.recipe, store, models, steps, force=False, on_patches=lambda *_: None)
        return self._run

    @property
    def origin(self) -> str:
        """Whose results they are."""
        return str(self.result_folder.layout)

    def slide(self, stem: str) -> list[AdoptOutcome]:
        """Take over all results of one slide, and return what became of each; nothing is raised."""
        source = self.sources.get(stem)
        if source is None:
            return [AdoptOutcome(stem, "results", AdoptStatus.LEFT, "its slide is not among those named by --slides")]
        with SlideWork(source, self.run) as work:
            outcomes: list[AdoptOutcome] = []
            outcome = work.attempt(SLIDE, lambda: outcomes.extend(self._slide(work)))
            if isinstance(outcome, Outcome):
                outcomes.append(AdoptOutcome(stem, "results", AdoptStatus.FAILED, outcome.why))
            return outcomes

    def _slide(self, work: SlideWork) -> Iterator[AdoptOutcome]:
        identified = identify_slide(work, self.recipe.stage(SLIDE))
        yield from (AdoptOutcome(work.stem, "slide", AdoptStatus.ODD, note) for note in identified.warnings)
        cuts: list[ForeignPatches] = []
        for group in self.result_folder.groups:
            for patches in self._read(group, work):
                if isinstance(patches, AdoptOutcome):
                    yield patches
                else:
                    cuts.append(patches)
        if not cuts and work.stem not in self.result_folder.outlines:
            return
        yield self._outlines(work, cuts)
        target = AdoptTarget(self.store, self.origin, self.settings)
        for cut in cuts:
            yield from adopt_patches(target, work, cut)

    def _read(self, group: Group, work: SlideWork) -> Iterator[ForeignPatches | AdoptOutcome]:
        """Yield the patches of a slide in one group, with the geometry of the project that they are of."""
        files: list[ResultFile] = group.by_stem().get(work.stem, [])
        slide = read_foreign(group, files, self.result_folder.layout, self.settings.encoder)
        if slide is None:
            if files:
                yield AdoptOutcome(work.stem, str(group.name or "results"), AdoptStatus.LEFT, "there are no coords")
            return
        why = contradiction(slide, work.slide_info())
        if why:
            yield AdoptOutcome(work.stem, str(group.name or "results"), AdoptStatus.LEFT, why)
            return
        yield self._cut(slide, work)

    def _cut(self, slide: ForeignSlide, work: SlideWork) -> ForeignPatches | AdoptOutcome:
        name, side = geometry_of(slide, work.slide_info())
        geometry = next((spec for spec in self.recipe.project.geometry if name and fits(spec, name)), None)
        if geometry is None:
            names = ", ".join(str(name_of(spec)) for spec in self.recipe.project.geometry) or "none"
            why = f"the project has no such geometry (it has {names}); add a [[geometry]]"
            return AdoptOutcome(work.stem, str(name or "results"), AdoptStatus.LEFT, why)
        sampling = choose_sampling(work.slide_info(), geometry.spec)
        if not same_side(side, sampling.patch_size_level0):
            other = "true" if geometry.scale == "nominal" else "nominal"
            why = (
                f'patches are {side:g} level-0 px wide there, {sampling.patch_size_level0} here; try scale = "{other}"'
            )
            return AdoptOutcome(work.stem, str(name), AdoptStatus.LEFT, why)
        return ForeignPatches(geometry, slide, sampling)

    def _outlines(self, work: SlideWork, cuts: list[ForeignPatches]) -> AdoptOutcome:
        """Make sure that the slide has outlines, and say where they are from."""
        path, project = self.store.geojson(work.stem), self.recipe.project
        if path.exists():
            polygons = self._stored_outlines(work)
            outcome = AdoptOutcome(work.stem, "outlines", AdoptStatus.THERE)
        elif mask := find_mask(project.slides.masks, work.stem, project.names_of, lambda: work.source.path.parent):
            polygons = self._supplied(work, mask)
            outcome = AdoptOutcome(work.stem, "outlines", AdoptStatus.SAME, "supplied by the project")
        else:
            polygons, outcome = self._new_outlines(work, cuts)
        work.set_polygons(polygons)
        work.fingerprints[TISSUE_MASK] = polygons_fingerprint(polygons)
        return outcome

    def _stored_outlines(self, work: SlideWork) -> Polygons:
        """Return the outlines that lie in the output; a dry run's own store lies aside."""
        origin = self.recipe.project.slides.masks_origin
        return read_geojson(self.store.geojson(work.stem), frame=work.slide_info().outline_frame, origin=origin)

    def _supplied(self, work: SlideWork, mask: Path) -> Polygons:
        if not self.settings.dry_run:
            ensure_tissue_mask(work, self.recipe.stage(TISSUE_MASK))
            return self._stored_outlines(work)
        slides, simplify_um = self.recipe.project.slides, self.recipe.project.tissue.simplify_um
        labels = tissue_values(mask, work.stem, slides.mask_values)
        return read_mask(mask, work.slide_info(), simplify_um, slides.masks_origin, labels).polygons

    def _new_outlines(self, work: SlideWork, cuts: list[ForeignPatches]) -> tuple[Polygons, AdoptOutcome]:
        info, theirs = work.slide_info(), self.result_folder.outlines.get(work.stem)
        expected = [WantedPatches(cut.geometry.spec, cut.sampling.patch_size_level0, cut.slide.corners) for cut in cuts]
        drawn = round_patches(info, work.stem, [cut.slide for cut in cuts], expected)
        file = theirs if theirs and not (self.settings.keep_patches and expected) else None
        outlines = choose_outlines(info, from_file(file, info, work.stem, expected) if file else drawn, expected)
        polygons = polygons_fingerprint(outlines.polygons)
        if not self.settings.dry_run and not self.store.write_foreign_outlines(
            work.stem, outlines.content, self.origin, polygons
        ):
            return self._stored_outlines(work), AdoptOutcome(work.stem, "outlines", AdoptStatus.THERE)
        return outlines.polygons, AdoptOutcome(work.stem, "outlines", AdoptStatus.SAME, outlines.origin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

"""Scores of slides drawn over them, in the forms that were asked for: pictures, pyramids, outlines, contact sheets."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores, NoPatches, NotFresh
from atlaspatch_core.interop.export.tiles import tile_features, write_features
from atlaspatch_core.interop.export.values import GeometryResults, SlideResults
from atlaspatch_core.interop.scores.colours import ColourScale, colour_scale, with_legend
from atlaspatch_core.interop.scores.columns import Columns
from atlaspatch_core.interop.scores.heat import HeatMap, heat_map
from atlaspatch_core.interop.scores.matching import scores_of_patches
from atlaspatch_core.interop.scores.pictures import Picture, draw_heat, write_ome_tiff
from atlaspatch_core.interop.scores.recorded_slide import open_recorded
from atlaspatch_core.interop.scores.sheet import contact_sheet, extreme_rows
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.pipeline.preview import encode_png, mask_picture, picture_size, thumbnail
from atlaspatch_core.slides.slide import Slide, SlideInfo
from atlaspatch_core.storage.atomic import replacing
from atlaspatch_core.storage.schema import PATCH_SIZE_LEVEL0, TISSUE_FRACTION


@dataclass(frozen=True, slots=True)
class OverlayOptions:
    """How scores are drawn."""

    formats: tuple[str, ...] = ("png",)
    column: str | None = None
    ranks: bool = False
    """Show the rank of a score among those of its slide, above 0 to 1, in its place."""
    longest: int = 2048
    """Longer side of pictures and pyramids, px; a smaller slide stays as it is."""
    colour_map: str = "turbo"
    limits: tuple[float, float] | None = None
    """Scores that have the first and the last colour."""
    percentiles: tuple[float, float] = (0.0, 100.0)
    """Of the slide's scores, where there are no limits."""
    opacity: float = 0.5
    smooth: float = 0.0
    """Standard deviation of a Gaussian, sides of a patch."""
    beyond_tissue: bool = False
    """Colour the part of a patch that lies outside the outlines, too."""
    on_white: bool = False
    """Draw over white instead of the slide, which is not opened."""
    top: int = 16
    """Patches with the highest scores on the contact sheet."""
    bottom: int = 0
    """Patches with the lowest scores after them."""


@dataclass(frozen=True, slots=True)
class ScoredSlide:
    """Scores that were found to be of a slide's patches."""

    results: SlideResults
    geometry: GeometryResults
    scores: NDArray[np.float64]
    """One a patch, NaN where none was given."""
    title: str
    """What the scores are called."""

    @property
    def info(self) -> SlideInfo:
        """What is recorded of the slide. Raises InvalidScores where nothing is."""
        if self.results.info is None:
            raise InvalidScores(f"{self.results.stem}: its size is not recorded; run encode-slide on it once more")
        return self.results.info

    @property
    def unscored(self) -> int:
        """How many patches have no score, and stay blank."""
        return int(np.isnan(self.scores).sum())

    def ranked(self) -> "ScoredSlide":
        """Return the same with ranks for scores: the share of scores that are no higher; equal ones share theirs."""
        import pandas as pd

        ranks = pd.Series(self.scores).rank(pct=True).to_numpy(np.float64)
        return replace(self, scores=ranks, title=f"{self.title} (rank)")

    def heat(self, longest: int, smooth: float = 0.0, *, beyond_tissue: bool = False) -> HeatMap:
        """Return the scores as a picture of the slide, its longer side at most ``longest`` px."""
        width, height = picture_size(self.info, longest)
        inside = None
        if not beyond_tissue and self.results.mask is not None:
            outlines = self.results.read_outlines(self.results.mask)
            inside = mask_picture((height, width), outlines, self.info) > 0
        return heat_map(
            self.scores,
            self.geometry.read_coords(),
            int(self.geometry.file[PATCH_SIZE_LEVEL0]),
            (self.info.width, self.info.height),
            (height, width),
            smooth=smooth,
            inside=inside,
        )


def scored_slide(slide: SlideResults, columns: Columns, source: str, column: str | None = None) -> ScoredSlide:
    """Return a slide with its scores.

    Raises NotFresh where its patches may not be used, InvalidScores where there are several geometries or the scores
    are not of its patches, and NoPatches where it has none.
    """
    geometry = _only_geometry(slide)
    coords = geometry.read_coords()
    if not len(coords):
        raise NoPatches(f"{slide.stem}: it has no patch, so that there is nothing to colour")
    scores = scores_of_patches(columns, slide.stem, coords, column, source)
    return ScoredSlide(slide, geometry, scores.values, scores.name)


def _only_geometry(slide: SlideResults) -> GeometryResults:
    match slide.geometries:
        case [geometry]:
            return geometry
        case []:
            why = "; ".join((*slide.refused, *slide.missing)) or "it has no coords"
            raise NotFresh(f"{slide.stem}: {why}")
        case geometries:
            names = ", ".join(geometry.name for geometry in geometries)
            raise InvalidScores(f"{slide.stem}: patches are there of the geometries {names}; name one as geometry")


def write_overlays(scored: ScoredSlide, options: OverlayOptions, folder: Path) -> Iterator[Path]:
    """Write a slide's overlays and yield their files; each replaces the one that lies there, whole.

    Raises what opening and reading the slide raises, and InvalidScores where no patch has a score.
    """
    scored = scored.ranked() if options.ranks else scored
    stem = scored.results.stem
    scale = colour_scale(scored.scores, options.colour_map, options.limits, options.percentiles, stem)
    needs_slide = "sheet" in options.formats or (not options.on_white and {"png", "ome-tiff"} & {*options.formats})
    opened: AbstractContextManager[Slide | None] = nullcontext()
    if needs_slide:
        opened = open_recorded(scored.results.store, stem)
    folder.mkdir(parents=True, exist_ok=True)
    with opened as slide:
        work = SlideOverlay(scored, options, scale, slide)
        for name in options.formats:
            suffix, write = FORMATS[name]
            path = folder / f"{stem}{suffix}"
            with replacing(path) as temporary:
                write(work, temporary)
            yield path


@dataclass(frozen=True)
class SlideOverlay:
    """What the forms of one slide's overlay have in common."""

    scored: ScoredSlide
    options: OverlayOptions
    scale: ColourScale
    slide: Slide | None

    def picture(self) -> Picture:
        """Return the slide with its colours."""
        heat = self.scored.heat(self.options.longest, self.options.smooth, beyond_tissue=self.options.beyond_tissue)
        below = np.full((*heat.values.shape, 3), 255, np.uint8)
        if self.slide is not None and not self.options.on_white:
            below = thumbnail(self.slide, self.options.longest)
        return draw_heat(below, heat, self.scale, self.options.opacity)

    def write_png(self, path: Path) -> None:
        """Write the picture with its legend."""
        path.write_bytes(encode_png(with_legend(self.picture(), self.scale, self.scored.title)))

    def write_ome_tiff(self, path: Path) -> None:
        """Write the picture as a pyramid in µm."""
        picture, info = self.picture(), self.scored.info
        mpp = info.mpp * info.width / picture.shape[1], info.mpp * info.height / picture.shape[0]
        write_ome_tiff(path, picture, mpp, f"{info.stem}: {self.scored.title}")

    def write_geojson(self, path: Path) -> None:
        """Write a tile for each patch that has a score, with the score as measurement."""
        scored = self.scored
        measures = {TISSUE_FRACTION: scored.geometry.read_tissue_fraction(), scored.title: scored.scores}
        classes = self.scale.classes(scored.scores, scored.title)
        frame = scored.results.written_frame
        tiles = tile_features(scored.geometry, frame, measures, classes)
        scored_tiles = (tile for tile, score in zip(tiles, scored.scores, strict=True) if np.isfinite(score))
        about = {"stem": scored.results.stem, "column": scored.title}
        about |= {"origin": frame[:2]} if any(frame[:2]) else {}
        write_features(path, about | scored.geometry.coords.provenance(), scored_tiles)

    def write_sheet(self, path: Path) -> None:
        """Write the patches with the highest scores, and the lowest."""
        assert self.slide is not None
        geometry = self.scored.geometry
        grid = PatchGrid(geometry.read_coords().astype(np.int32), geometry.read_tissue_fraction(), geometry.sampling())
        groups = extreme_rows(self.scored.scores, self.options.top, self.options.bottom)
        path.write_bytes(encode_png(contact_sheet(self.slide, grid, self.scored.scores, groups)))


FORMATS: Mapping[str, tuple[str, Callable[[SlideOverlay, Path], None]]] = {
    "png": (".png", SlideOverlay.write_png),
    "ome-tiff": (".ome.tif", SlideOverlay.write_ome_tiff),
    "geojson": (".geojson", SlideOverlay.write_geojson),
    "sheet": ("_patches.png", SlideOverlay.write_sheet),
}
"""Name to how its files end, and what writes one."""

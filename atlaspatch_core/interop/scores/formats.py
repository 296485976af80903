"""The formats of one slide's overlay: a picture, a pyramid, outlines, a contact sheet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atlaspatch_core.interop.export.tiles import tile_features, write_features
from atlaspatch_core.interop.scores.colours import ColourScale
from atlaspatch_core.interop.scores.legend import with_legend
from atlaspatch_core.interop.scores.pictures import Picture, cropped, draw_heat, write_ome_tiff
from atlaspatch_core.interop.scores.scored_slide import ScoredSlide
from atlaspatch_core.interop.scores.sheet import contact_sheet, extreme_rows
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.pipeline.preview import encode_png, thumbnail
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.storage.picture_provenance import with_mark
from atlaspatch_core.storage.schema import TISSUE_FRACTION


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


@dataclass(frozen=True)
class SlideOverlay:
    """What the formats of one slide's overlay have in common."""

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

    def write_png(self, path: Path, mark: str) -> None:
        """Write the picture with its legend."""
        _write_png(path, with_legend(self.picture(), self.scale, self.scored.title), mark)

    def write_ome_tiff(self, path: Path, mark: str) -> None:
        """Write the picture as a pyramid in µm, of the part of the slide that QuPath shows."""
        picture, info = self.picture(), self.scored.info
        mpp = info.mpp * info.width / picture.shape[1], info.mpp * info.height / picture.shape[0]
        counts_from_bounds = self.scored.results.written_frame[:2] == info.corner
        shown = cropped(picture, info) if counts_from_bounds else picture
        write_ome_tiff(path, shown, mpp, f"{info.stem}: {self.scored.title}", mark)

    def write_geojson(self, path: Path, mark: str) -> None:
        """Write a tile for each patch that has a score, with the score as measurement."""
        scored = self.scored
        measures = {TISSUE_FRACTION: scored.geometry.read_tissue_fraction(), scored.title: scored.scores}
        classes = self.scale.classes(scored.scores, scored.title)
        frame = scored.results.written_frame
        tiles = tile_features(scored.geometry, frame, measures, classes)
        scored_tiles = (tile for tile, score in zip(tiles, scored.scores, strict=True) if np.isfinite(score))
        about = {"stem": scored.results.stem, "overlay": mark, "column": scored.title}
        about |= {"origin": frame[:2]} if any(frame[:2]) else {}
        write_features(path, about | scored.geometry.coords.provenance(), scored_tiles)

    def write_sheet(self, path: Path, mark: str) -> None:
        """Write the patches with the highest scores, and the lowest."""
        assert self.slide is not None
        geometry = self.scored.geometry
        grid = PatchGrid(geometry.read_coords().astype(np.int32), geometry.read_tissue_fraction(), geometry.sampling())
        groups = extreme_rows(self.scored.scores, self.options.top, self.options.bottom)
        _write_png(path, contact_sheet(self.slide, grid, self.scored.scores, groups), mark)


def _write_png(path: Path, picture: Picture, mark: str) -> None:
    path.write_bytes(with_mark(encode_png(picture), mark))


FORMATS: Mapping[str, tuple[str, Callable[[SlideOverlay, Path, str], None]]] = {
    "png": (".png", SlideOverlay.write_png),
    "ome-tiff": (".ome.tif", SlideOverlay.write_ome_tiff),
    "geojson": (".geojson", SlideOverlay.write_geojson),
    "sheet": ("_patches.png", SlideOverlay.write_sheet),
}
"""Name to how its files end, and what writes one, given its path and its mark."""

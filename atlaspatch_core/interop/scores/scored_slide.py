"""A slide with its scores, which were found to be of its patches."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores, NoPatches, NotFresh
from atlaspatch_core.interop.export.values import GeometryResults, SlideResults
from atlaspatch_core.interop.scores.columns import Columns
from atlaspatch_core.interop.scores.heat import HeatMap, heat_map
from atlaspatch_core.interop.scores.matching import scores_of_patches
from atlaspatch_core.pipeline.preview import mask_picture, picture_size
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.storage.schema import PATCH_SIZE_LEVEL0


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

"""What a folder of results does not say of its grid, found out on a few slides: the rule of scale, the least tissue."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from atlaspatch_core.config.sections import Geometry, Slides
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.interop.adopt.foreign_slide import ForeignSlide, geometry_of, match_rows, read_foreign, same_side
from atlaspatch_core.interop.adopt.outlines import WantedPatches, from_file, grid_gives
from atlaspatch_core.layouts.found import Group, ResultFolder
from atlaspatch_core.patches.grid import lay_grid
from atlaspatch_core.patches.grid_spec import GridSpec
from atlaspatch_core.patches.scale import choose_sampling
from atlaspatch_core.patches.trident import trident_shares
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.tissue.contours import read_geojson

SLIDES = 5
"""Slides that are looked at, at most."""
SCALES = ("nominal", "true")
"""In the order in which they are tried: both tools go by nominal magnification."""


@dataclass(frozen=True, slots=True, eq=False)
class FittingSample:
    """One slide, and the patches that others have of it."""

    info: SlideInfo
    slide: ForeignSlide


def samples(result_folder: ResultFolder, group: Group, sources: Mapping[str, SlideSource]) -> list[FittingSample]:
    """Return the first slides with patches that can be opened."""
    return list(islice(_samples(result_folder, group, sources), SLIDES))


def _samples(result_folder: ResultFolder, group: Group, sources: Mapping[str, SlideSource]) -> Iterator[FittingSample]:
    for stem, files in group.by_stem().items():
        with suppress(AtlasPatchError):  # said of the slide when it is its turn
            slide = read_foreign(group, files, result_folder.layout)
            if slide is not None and len(slide.corners) and stem in sources:
                source = sources[stem]
                with open_source(source, Slides()) as opened:
                    yield FittingSample(opened.info, slide)


def scale_of(values: Mapping[str, Any], samples: list[FittingSample]) -> str:
    """Return the rule of scale by which patches have the sides that their files state; nominal where none does."""
    for scale in SCALES:
        spec = Geometry.model_validate({**values, "scale": scale}).spec
        with suppress(AtlasPatchError):
            if all(_fits(sample, spec) for sample in samples):
                return scale
    return SCALES[0]


def _fits(sample: FittingSample, spec: GridSpec) -> bool:
    side = geometry_of(sample.slide, sample.info)[1]
    return same_side(side, choose_sampling(sample.info, spec).patch_size_level0)


def least_tissue(values: Mapping[str, Any], result_folder: ResultFolder, slides: list[FittingSample]) -> float:
    """Return the roundest least tissue share by which our grid keeps the patches that others have; 0 where none does.

    Every patch that they have has that share or more, every one that they lack less.
    """
    spec = Geometry.model_validate({**values, "min_tissue": 0.0}).spec
    low, high = 0.0, 1.0
    for sample in slides:
        with suppress(AtlasPatchError):
            below, above = _bounds(sample, spec, result_folder)
            low, high = max(low, below), min(high, above)
    return roundest(low, high)


def _bounds(sample: FittingSample, spec: GridSpec, result_folder: ResultFolder) -> tuple[float, float]:
    """Return the largest tissue share of a patch that they lack, and the least of one that they have."""
    path = result_folder.outlines.get(sample.slide.stem)
    if path is None:
        return 0.0, 1.0
    polygons = read_geojson(path)
    grid = lay_grid(sample.info, polygons, spec)
    shares = grid.tissue_fraction
    if spec.rule == "trident":
        shares = trident_shares(grid.coords, grid.sampling, polygons)
    theirs = match_rows(sample.slide.corners, grid.coords.astype(np.int64)) >= 0
    lacking, having = shares[~theirs], shares[theirs]
    return float(lacking.max(initial=0.0)), float(having.min(initial=1.0))


def choose_rule(
    geometries: Sequence[dict[str, Any]], result_folder: ResultFolder, slides: list[FittingSample]
) -> dict[str, Any]:
    """Return the first geometry that gives the patches that others have, on every slide with outlines; else the first.

    The outlines are taken as adoption takes them.
    """
    outlined = [sample for sample in slides if sample.slide.stem in result_folder.outlines]
    for values in geometries if len(geometries) > 1 else ():
        if all(_gives_patches(values, result_folder, sample) for sample in outlined):
            return values
    return geometries[0]


def _gives_patches(values: Mapping[str, Any], result_folder: ResultFolder, sample: FittingSample) -> bool:
    spec, slide = Geometry.model_validate(values).spec, sample.slide
    with suppress(AtlasPatchError):  # said of the slide when it is its turn
        side = choose_sampling(sample.info, spec).patch_size_level0
        expected = [WantedPatches(spec, side, slide.corners)]
        candidates = from_file(result_folder.outlines[slide.stem], sample.info, slide.stem, expected)
        return any(grid_gives(sample.info, outlines.polygons, expected[0]) for outlines in candidates)
    return True


def roundest(low: float, high: float) -> float:
    """Return the number above ``low`` and up to ``high`` with the fewest decimals, the least of these; 0 where none is.

    With ``low`` 0, nothing is to be kept out, and it is 0.
    """
    for digits in (1, 2, 3) if 0 < low < high else ():
        number = math.floor(low * 10**digits + 1) / 10**digits
        if low < number <= high:
            return number
    return 0.0

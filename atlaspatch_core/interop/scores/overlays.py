"""Scores of slides drawn over them, in the formats asked for: pictures, pyramids, outlines, contact sheets."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from atlaspatch_core.interop.scores.colours import colour_scale
from atlaspatch_core.interop.scores.formats import FORMATS, OverlayOptions, SlideOverlay
from atlaspatch_core.interop.scores.places import OverlayFile, check_folder
from atlaspatch_core.interop.scores.recorded_slide import open_recorded
from atlaspatch_core.interop.scores.scored_slide import ScoredSlide
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.storage.atomic import make_folder, replacing


def write_overlays(scored: ScoredSlide, options: OverlayOptions, folder: Path) -> Iterator[Path]:
    """Write a slide's overlays and yield their files; each replaces the one of before, whole, and no other file.

    Raises what opening and reading the slide raises, InvalidScores where no patch has a score, and UnwritableOutput,
    before anything is written, where a file would lie among results or take the place of one that is no such overlay.
    """
    scored = scored.ranked() if options.ranks else scored
    results, stem = scored.results, scored.results.stem
    scale = colour_scale(scored.scores, options.colour_map, options.limits, options.percentiles, stem)
    files = {name: OverlayFile(folder / f"{stem}{FORMATS[name][0]}", stem, name) for name in options.formats}
    check_folder(folder, results.store.output)
    for file in files.values():
        file.check(results.info)
    make_folder(folder)
    with _opened(scored, options) as slide:
        work = SlideOverlay(scored, options, scale, slide)
        for name, file in files.items():
            with replacing(file.path) as temporary:
                FORMATS[name][1](work, temporary, file.mark)
            yield file.path


def _opened(scored: ScoredSlide, options: OverlayOptions) -> AbstractContextManager[Slide | None]:
    """Open the slide, where a format shows it."""
    needs_slide = "sheet" in options.formats or (not options.on_white and {"png", "ome-tiff"} & {*options.formats})
    return open_recorded(scored.results.store, scored.results.stem) if needs_slide else nullcontext()

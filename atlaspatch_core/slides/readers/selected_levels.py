"""A slide of which some levels are not shown, or which is one image of several."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import Level, Region, Slide, SlideInfo


@final
class SelectedLevels(Slide):
    """A slide of which some levels are not shown. Owns the slide."""

    def __init__(self, slide: Slide, levels: Sequence[int], info: SlideInfo) -> None:
        self._slide = slide
        self._levels = tuple(levels)
        self._info = info

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._info

    def read_region(self, region: Region) -> NDArray[np.uint8]:
        """Return RGB pixels (height, width, 3) of a level that is shown."""
        return self._slide.read_region(replace(region, level=self._levels[region.level]))

    def without_alpha(self) -> Slide:
        """Return the same levels of the slide without alpha."""
        slide = self._slide.without_alpha()
        is_same = slide is self._slide
        return self if is_same else SelectedLevels(slide, self._levels, self._info.with_one_downsample())

    def close(self) -> None:
        """Release the file."""
        self._slide.close()


def select_levels(slide: Slide, numbers: Sequence[int], notes: Sequence[str] = ()) -> Slide:
    """Return the slide with the levels of these numbers alone; its identity then says so."""
    levels = slide.info.levels
    if len(numbers) == len(levels) and not notes:
        return slide
    dropped = [sides(level) for number, level in enumerate(levels) if number not in numbers]
    reading = [slide.info.reading] if slide.info.reading else []
    reading += [f"without levels {', '.join(dropped)}"] if dropped else []
    info = replace(
        slide.info,
        levels=tuple(levels[number] for number in numbers),
        notes=(*slide.info.notes, *notes),
        reading="; ".join(reading),
    )
    return SelectedLevels(slide, numbers, info)


def with_series(slide: Slide, series: int | None, stem: str) -> Slide:
    """Return the slide as the image of its file that was asked for, called by this stem."""
    return SelectedLevels(slide, range(len(slide.info.levels)), replace(slide.info, series=series, stem=stem))


def sides(level: Level) -> str:
    """Return width and height in words."""
    return f"{level.width} × {level.height}"

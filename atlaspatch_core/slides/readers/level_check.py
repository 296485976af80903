"""Whether the levels that a file offers show one picture: each is held against the finer one before it.

A macro photo, a second section or another pyramid may have any size. Its proportions tell most of them; content tells
the others, at a few spots, so that opening a slide stays cheap.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.readers.images import is_smaller_copy
from atlaspatch_core.slides.readers.selected_levels import select_levels, sides
from atlaspatch_core.slides.slide import Level, Region, Slide

LATTICE = 8
"""Spots a side of the coarsest level that are looked at for tissue."""
SPOTS = 6
"""Of these, how many are compared, the most telling ones."""
SIDE = 64
"""px of a spot, of the coarser of two levels."""
MOST_SIDE = 1024
"""px of a spot, of the finer one: a few tiles."""
GLASS = 230
"""Pixels none of whose colours is darker are glass, which is alike everywhere."""
LEAST_PIXELS = 64
"""Pixels of tissue that are needed to tell."""
COLOURED = 20.0
"""Mean chroma of tissue, of 255, from which a level without any is of another photometry."""
LEAST_COLOUR = 0.25
"""Share of the chroma of one level that the other has at least."""
ALIKE = 10.0
"""Mean difference of colours, of 255, up to which two levels are alike whatever their correlation: flat tissue."""
CORRELATED = 0.5
"""Least correlation, within tissue, of a level with the finer one averaged down. True levels have more than 0.9,
sharpened or decimated ones 0.7, two sections about 0."""

Colours = NDArray[np.float32]
Boxes = NDArray[np.float64]
NOWHERE: Boxes = np.empty((0, 4))


def with_true_levels(slide: Slide) -> Slide:
    """Return the slide with those levels that have its proportions and show what it shows.

    Pixels of a few spots are read. What cannot be decoded tells nothing, and is found when it is wanted.
    """
    levels = slide.info.levels
    if len(levels) == 1:
        return slide
    shaped = [0, *(number for number in range(1, len(levels)) if has_shape(levels[number], levels[0]))]
    numbers = list(agreeing_levels(slide, shaped))
    if len(numbers) < len(shaped) and (absent := absent_boxes(slide)):
        numbers = list(agreeing_levels(slide, shaped, np.concatenate(absent)))
    notes = [
        f"its level of {sides(level)} px {'shows another picture' if number in shaped else 'has other proportions'} "
        f"than the slide and is left out"
        for number, level in enumerate(levels)
        if number not in numbers
    ]
    return select_levels(slide, numbers, notes)


def absent_boxes(slide: Slide) -> list[NDArray[np.float64]]:
    """Return where tiles are not stored, shape (n, 4) for each level that lacks any, level-0 px."""
    from atlaspatch_core.slides.readers.absent_tiles import find_absent_tiles

    return [one.boxes for one in find_absent_tiles(slide.info)]


def has_shape(level: Level, full: Level) -> bool:
    """Tell whether a level has the proportions of level 0, or is as large."""
    same = (level.width, level.height) == (full.width, full.height)
    return same or is_smaller_copy(level.width, level.height, full.width, full.height)


def agreeing_levels(slide: Slide, numbers: Sequence[int], absent: Boxes = NOWHERE) -> Iterator[int]:
    """Yield those of the levels that show what the finer one before them shows, the first one always.

    ``absent``: where tiles are not stored, (n, 4), level-0 px, which tells nothing of what a level shows.
    """
    first, *rest = numbers
    yield first
    if not rest:
        return
    spots = telling_spots(slide, numbers, absent)
    finer = first
    for number in rest:
        if agree(slide, finer, number, spots):
            finer = number
            yield number


def telling_spots(slide: Slide, numbers: Sequence[int], absent: Boxes = NOWHERE) -> list[tuple[float, float]]:
    """Return the centres, level-0 px, of the spots with the most tissue and contrast, at most ``SPOTS``.

    They are those of the coarsest level that has any: a blank page, such as a label, may lie where a level would.
    None overlaps a box of ``absent``.
    """
    spots_of_levels = (_telling_spots_of(slide, number, absent) for number in reversed(numbers))
    return next((spots for spots in spots_of_levels if spots), [])


def _telling_spots_of(slide: Slide, number: int, absent: Boxes) -> list[tuple[float, float]]:
    level = slide.info.levels[number]
    across, down = level.downsamples
    scored: list[tuple[float, float, float]] = []
    for row in range(LATTICE):
        for column in range(LATTICE):
            x, y = (column + 0.5) / LATTICE * level.width, (row + 0.5) / LATTICE * level.height
            box = (x - SIDE) * across, (y - SIDE) * down, (x + SIDE) * across, (y + SIDE) * down
            pixels = None if overlaps(absent, box) else spot(slide, number, x, y, SIDE)
            if pixels is not None:
                tissue = pixels[pixels.min(axis=2) < GLASS]
                scored.append((float(tissue.std()) * len(tissue) ** 0.5 if len(tissue) else 0.0, x, y))
    best = sorted(scored, reverse=True)[:SPOTS]
    return [(x * across, y * down) for score, x, y in best if score]


def overlaps(boxes: Boxes, box: tuple[float, float, float, float]) -> bool:
    """Tell whether a box overlaps one of those, each left, top, right, bottom."""
    left, top, right, bottom = box
    return bool(((boxes[:, :2] < (right, bottom)) & (boxes[:, 2:] > (left, top))).all(axis=1).any())


def spot(slide: Slide, number: int, x: float, y: float, side: int) -> Colours | None:
    """Return the RGB around a place of a level, px of the level, shape (side, side, 3) or less; None where damaged."""
    level = slide.info.levels[number]
    width, height = min(side, level.width), min(side, level.height)
    left = min(max(0, round(x - side / 2)), level.width - width)
    top = min(max(0, round(y - side / 2)), level.height - height)
    across, down = level.downsamples
    region = Region(round(left * across), round(top * down), number, width, height)
    try:
        return slide.read_region(region).astype(np.float32)
    except UnreadableSlide:
        return None


def agree(slide: Slide, finer: int, coarser: int, spots: Sequence[tuple[float, float]]) -> bool:
    """Tell whether two levels look alike where there is tissue in either; with too little of it they do."""
    with ThreadPoolExecutor(SPOTS) as pool:  # storage may answer late
        seen = pool.map(lambda place: both(slide, finer, coarser, *place), spots)
        pairs = [pair for pair in seen if pair is not None]
    if not pairs:
        return True
    fine, coarse = (np.concatenate([pair[side].reshape(-1, 3) for pair in pairs]) for side in (0, 1))
    is_tissue = np.minimum(fine.min(axis=1), coarse.min(axis=1)) < GLASS
    if is_tissue.sum() < LEAST_PIXELS:
        return True
    fine, coarse = fine[is_tissue], coarse[is_tissue]
    if lacks_colour(fine, coarse):
        return False
    return bool(np.abs(fine - coarse).mean() <= ALIKE) or correlation(fine, coarse) >= CORRELATED


def lacks_colour(fine: Colours, coarse: Colours) -> bool:
    """Tell whether one of two lists of colours, (n, 3), is grey and the other is not."""
    less, more = sorted(float(np.mean(colours.max(axis=1) - colours.min(axis=1))) for colours in (fine, coarse))
    return more >= COLOURED and less < LEAST_COLOUR * more


def both(slide: Slide, finer: int, coarser: int, x: float, y: float) -> tuple[Colours, Colours] | None:
    """Return the same place of two levels at the scale of the coarser one, a little blurred."""
    import cv2

    fine_level, coarse_level = slide.info.levels[finer], slide.info.levels[coarser]
    ratio = coarse_level.downsample / fine_level.downsample
    side = int(min(max(MOST_SIDE / ratio, 8), SIDE, coarse_level.width, coarse_level.height))
    (across, down), finer_scale = coarse_level.downsamples, fine_level.downsamples
    at = x / across, y / down
    left = min(max(0, round(at[0] - side / 2)), coarse_level.width - side)
    top = min(max(0, round(at[1] - side / 2)), coarse_level.height - side)
    centre = left + side / 2, top + side / 2
    coarse = spot(slide, coarser, *centre, side)
    place = centre[0] * across / finer_scale[0], centre[1] * down / finer_scale[1]
    fine = spot(slide, finer, *place, round(side * ratio))
    if coarse is None or fine is None:
        return None
    size = coarse.shape[1], coarse.shape[0]
    small = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    return cv2.blur(small, (3, 3)).astype(np.float32), cv2.blur(coarse, (3, 3)).astype(np.float32)


def correlation(fine: Colours, coarse: Colours) -> float:
    """Return Pearson's correlation of two lists of colours, (n, 3), each colour about its own mean."""
    a, b = (colours - colours.mean(axis=0) for colours in (fine, coarse))
    spread = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / spread) if spread else 0.0

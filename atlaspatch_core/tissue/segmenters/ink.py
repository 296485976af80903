"""Pen marks: blue, green and red ink on the glass."""

import cv2
import numpy as np

from atlaspatch_core.tissue.morphology import Mask, close_gaps, drop_specks, grow, pieces, thick_parts
from atlaspatch_core.tissue.segmenters.colour import Channel, Pixels, darkest, texture

THINNEST_UM = 24.0
"""Ink is at least twice this wide, µm: a felt tip draws 300 and more; haematoxylin nuclei and margin dye are finer."""
JOINED_UM = 60.0
"""Ink on both sides within this is one stroke, µm: dark nuclei below hide its colour."""
HALO_UM = 24.0
"""Ink thins out over this at its rim, µm."""
SHOWS_THROUGH_UM = 150.0
"""Ink with tissue on both sides within this lies over tissue, µm."""
WIDE_UM = 75.0
"""Half the width, µm, of what is no pale end of a stroke: these are as narrow as its halo."""
SMALLEST_MARK_UM2 = 100_000.0
"""A pen mark covers at least this, µm²: 0.3 mm square; less is dye on a margin, or dense nuclei."""
BLUR_PX = 1.5
"""Standard deviation by which nuclei, of one px at 8 µm per px, and what lies between them become one colour."""
COLOURED = 25
"""HSV saturation (of 255) above which a pixel is coloured at all."""
SMOOTH = 8.0
"""Standard deviation within 5 × 5 px below which a colour is ink rather than tissue; tissue has 10 to 30 at 8 µm/px."""


def find_ink(pixels: Pixels, mpp: float, *, whole_pieces: bool = True) -> Mask:
    """Return where ink is, its rim included, on white-balanced ``pixels`` of ``mpp`` µm per px.

    Blue and green are no colours of H&E. A blue or green that covers most of what is coloured, and has texture, is
    another stain (trichrome, light green) and no ink. Red ink is redder than blood. With ``whole_pieces`` a piece that
    is a tenth red ink and half of a red hue is ink as a whole, a stroke with its dark ends; else what is near its red.
    """
    return _ink(pixels, texture(darkest(pixels)), mpp, whole_pieces)


def find_ink_in_texture(pixels: Pixels, mpp: float) -> Mask:
    """Return what ``find_ink`` does by the colour of pixels blurred: ink over nuclei and DAB, which change its colour.

    The texture is that of the pixels. Dense stain may be taken for ink, so it is of use where all ink is to go.
    """
    blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), BLUR_PX), np.uint8)
    return _ink(blurred, texture(darkest(pixels)), mpp, whole_pieces=False)


def pen_marks(ink: Mask, black: Mask, mpp: float) -> Mask:
    """Return ink, and black that is as large as a stroke: less is a margin dye, dense nuclei, pigment or dust."""
    strokes = thick_parts(black, min(THINNEST_UM / mpp, 3.0))
    return drop_specks(ink | grow(strokes, HALO_UM / mpp), SMALLEST_MARK_UM2 / mpp**2)


def _ink(pixels: Pixels, rough: np.ndarray, mpp: float, whole_pieces: bool) -> Mask:
    hue, saturation, value = (
        np.asarray(channel, np.uint8) for channel in cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV))
    )
    coloured = saturation >= COLOURED
    blue = (hue >= 98) & ((hue <= 124) & (saturation >= 115) | (hue <= 127) & (saturation >= 140))
    green = (hue >= 35) & (hue < 98) & (saturation >= 50) & (value < 235)
    red = ((hue >= 172) | (hue <= 8)) & ((saturation >= 200) | (saturation >= 190) & (rough < SMOOTH)) & (value >= 60)
    for colour in (blue, green):
        colour &= not _is_stain(colour, coloured, rough)
    cores = thick_parts(blue | green | red, min(THINNEST_UM / mpp, 3.0))
    cool = (hue >= 35) & (hue <= 118) & (saturation >= 50) & (rough < SMOOTH)
    ink = cores | _reached(cool | cores, cores)
    marks = _red_pieces(hue, red, coloured)
    ink |= marks if whole_pieces else marks & grow(red, HALO_UM / mpp)
    return grow(close_gaps(ink, JOINED_UM / mpp), HALO_UM / mpp)


def without_ink(tissue: Mask, ink: Mask, mpp: float, keep_below: bool) -> Mask:
    """Return ``tissue`` without pen marks.

    Ink with tissue on both sides lies over tissue: specks of it, too small for a pen, stay; ``keep_below`` keeps all.
    A piece that is mostly ink is dropped whole: what is left of it are the paler ends of the stroke. Where all ink
    goes, it stays if what is left of it is wide: tissue of which a stroke covers most.
    """
    if not ink.any():
        return tissue
    labels, areas = pieces(tissue | ink)
    inked = np.bincount(labels[ink], minlength=len(areas)) > 0.5 * areas
    if not keep_below:
        wide = thick_parts(tissue & ~ink, WIDE_UM / mpp)
        inked &= np.bincount(labels[wide], minlength=len(areas)) < SMALLEST_MARK_UM2 / mpp**2
    bare = tissue & ~ink & ~inked[labels]
    ink_over_tissue = ink if keep_below else ink & ~drop_specks(ink, SMALLEST_MARK_UM2 / mpp**2)
    return bare | (close_gaps(bare, SHOWS_THROUGH_UM / mpp) & ink_over_tissue & tissue)


def _is_stain(colour: Mask, coloured: Mask, rough: np.ndarray) -> bool:
    """Tell whether ``colour`` is the slide's stain: over 40 % of the coloured area, and not smooth as ink is."""
    return colour.sum() > 0.4 * max(1, coloured.sum()) and float(np.median(rough[colour])) > SMOOTH


def _reached(mask: Mask, seeds: Mask) -> Mask:
    """Return the pieces of ``mask`` that hold a seed."""
    labels, areas = pieces(mask)
    return (np.bincount(labels[seeds], minlength=len(areas)) > 0)[labels] & mask


def _red_pieces(hue: Channel, red: Mask, coloured: Mask) -> Mask:
    """Return the pieces that are a tenth red ink and half of a red hue: blurred strokes, with their dark ends."""
    if not red.any():
        return red
    labels, areas = pieces(coloured)
    inked = np.bincount(labels[red], minlength=len(areas)) >= 0.1 * areas
    reddish = np.bincount(labels[(hue >= 172) | (hue <= 8)], minlength=len(areas)) >= 0.5 * areas
    return (inked & reddish)[labels] & coloured

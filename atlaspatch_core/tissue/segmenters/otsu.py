"""The default segmenter: how coloured a pixel is, split by Otsu's threshold. No weights.

Stain is coloured; glass, dust, shadows, air bubbles, scanner frames and black ink are grey. So the chroma (largest
minus smallest channel, after white balance on the slide's own glass) tells tissue from the rest, and the darkness says
where exactly it ends, since scanners store chroma at half resolution. What that leaves is looked at again, piece by
piece: see ``faint.py``.
"""

import cv2
import numpy as np

from atlaspatch_core.slides.overview import read_overview
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.morphology import Mask, close_gaps, pieces, shrink
from atlaspatch_core.tissue.segmenters.colour import (
    GLASS,
    Channel,
    Pixels,
    balanced,
    brightest,
    chroma,
    darkest,
    texture,
)
from atlaspatch_core.tissue.segmenters.declaration import Segmenter, TissuePixels, TissueSpec
from atlaspatch_core.tissue.segmenters.faint import find_faint_pieces
from atlaspatch_core.tissue.segmenters.ink import find_ink, find_ink_in_texture, pen_marks, without_ink
from atlaspatch_core.tissue.segmenters.networks import Networks

FAINTEST = 6.0
"""Least chroma of tissue: JPEG noise on glass stays below after a blur of 1 px."""
NOISIEST = 12.0
"""The noise of the glass raises ``FAINTEST`` up to this."""
PALEST = 20.0
"""Most chroma that a piece must reach somewhere: deep stain elsewhere must not outvote pale stroma and fat."""
SMUDGE_UM2 = 100_000.0
"""A piece that nowhere exceeds ``NOISIEST`` must cover this, µm²: less is a smudge on the glass."""
EDGE = 0.45
"""Tissue ends where darkness falls below this share of the darkest within 2 px: half way, less the blur of edges."""
EDGE_PX = 3
"""Edges are sought this far into a piece, px: deeper, pale stroma between nuclei is no edge."""
NEAR_BLACK = 60
"""Grey pixels below this are scanner frame or black ink, of 255."""
MOST_BLACK = 0.3
"""Share of the slide that is near black, above which there is no glass to compare with: fluorescence."""


def segment(slide: Slide, spec: TissueSpec, networks: Networks) -> TissuePixels:  # noqa: ARG001
    """Return where tissue is, with ``pen_share`` and ``dark_share`` (near-black: frames, black ink, fluorescence).

    ``smooth_share``, ``inked_share``, ``faint_share`` and ``black_share`` are of regions that may be tissue and were
    left out: see ``FaintPieces``.
    """
    overview = read_overview(slide, spec.overview_mpp)
    pixels = balanced(overview.pixels)
    black = (brightest(pixels) <= NEAR_BLACK) & (chroma(pixels) < PALEST)
    ink = find_ink(pixels, overview.mpp, whole_pieces=not spec.remove_penmarks)
    if spec.remove_penmarks:
        ink |= find_ink_in_texture(pixels, overview.mpp)
    closing = spec.closing_um / overview.mpp
    coloured = close_gaps(_coloured(pixels, overview.mpp) & ~black, closing)
    mask = without_ink(coloured, ink, overview.mpp, keep_below=not spec.remove_penmarks)
    shares = {"pen_share": float(ink.mean()), "dark_share": float(black.mean())}
    if shares["dark_share"] > MOST_BLACK:
        return TissuePixels(mask, overview.downsample, shares)
    removed = pen_marks(ink, black, overview.mpp) if spec.remove_penmarks else None
    faint = find_faint_pieces(pixels, overview.mpp, mask, ink, black, _least_chroma(_smoothed(pixels)))
    mask |= close_gaps(faint.tissue & (_inside_edges(pixels) | shrink(faint.tissue, EDGE_PX)), closing)
    mask = mask if removed is None else mask & ~removed
    return TissuePixels(mask, overview.downsample, shares | faint.left_out(overview.downsample), removed)


OTSU = Segmenter(
    name="otsu",
    version=4,
    license="Apache-2.0",
    source="Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979) 62-66",
    segment=segment,
    knows_ink=True,
    knows_small_slides=True,
)


def _coloured(pixels: Pixels, mpp: float) -> Mask:
    """Return pixels with stain: pieces above a low threshold that reach a high one, ended at half darkness."""
    smooth = _smoothed(pixels)
    stain = chroma(smooth)
    low, high = _thresholds(stain, smooth)
    labels, areas = pieces(stain >= low)
    rooted, plain = (np.bincount(labels[stain >= least], minlength=len(areas)) > 0 for least in (high, NOISIEST))
    is_stain = rooted & (plain | (areas >= SMUDGE_UM2 / mpp**2))
    is_stain[0] = False
    return is_stain[labels] & _inside_edges(pixels)


def _thresholds(stain: Channel, smooth: Pixels) -> tuple[float, float]:
    """Return the low and the high threshold of chroma: Otsu's, kept between the noise of the glass and pale stain."""
    floor = _least_chroma(smooth)
    otsu, _ = cv2.threshold(stain, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    high = float(np.clip(otsu, floor, PALEST))
    return max(floor, high / 2), high


def _least_chroma(smooth: Pixels) -> float:
    """Return the chroma above which a pixel is more coloured than the noise of the glass."""
    stain, glass = chroma(smooth), darkest(smooth) >= GLASS - 15
    noise = np.percentile(stain[glass], 25) + 4 * np.median(texture(stain)[glass]) if glass.any() else 0.0
    return float(np.clip(noise, FAINTEST, NOISIEST))


def _smoothed(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.0), np.uint8)


def _inside_edges(pixels: Pixels) -> Mask:
    """Return pixels at least ``EDGE`` as dark, below the glass, as the darkest mean of 3 × 3 px within 2 px."""
    darkness = np.asarray(cv2.subtract(np.full(pixels.shape[:2], int(GLASS), np.uint8), darkest(pixels)), np.uint8)
    around = np.asarray(cv2.dilate(cv2.blur(darkness, (3, 3)), np.ones((5, 5), np.uint8)), np.float32)
    return darkness >= EDGE * around

"""Numbers of patches as a heat map of their slide."""

from math import inf
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atlaspatch_core.api.folder_results import Results
from atlaspatch_core.api.reading import results as read_results
from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores import HeatMap, SlideRows, attention_slide, read_score_columns, scored_slide
from atlaspatch_core.interop.scores.columns import Columns, of_array, of_frame

if TYPE_CHECKING:
    import pandas as pd

GIVEN = "the scores"
"""What errors call them, where they are no file."""


def heat_map(
    results: Results | str | Path,
    stem: str,
    scores: "str | Path | ArrayLike | pd.DataFrame | pd.Series | None" = None,
    *,
    attention: str | None = None,
    head: int | None = None,
    column: str | int | None = None,
    geometry: str | None = None,
    longest: int = 2048,
    smooth: float = 0.0,
    beyond_tissue: bool = False,
    include_stale: bool = False,
) -> HeatMap:
    """Return numbers of a slide's patches, or their attention, as a picture of the slide; the slide is not opened.

    As ``atlaspatch overlay`` draws it. ``.values`` has a number a px, ``.affine`` leads to level-0 px, ``.rgba()`` are
    colours to lay over ``ap.open_slide(…).thumbnail(longest)``, which has the same shape.

    Args:
        results: What ``ap.results`` gave, or the output folder.
        stem: The slide.
        scores: A file (CSV, Parquet, ``.npy``, HDF5), a table or column of pandas, an array (n,) or (n, k). Columns x
            and y (top-left corners, level-0 px), else row, else an index, else the order say of which patch a row is.
        attention: Slide encoder whose kept attention is shown instead of scores.
        head: The one that is shown of an encoder with several heads, from 0; by default their mean.
        column: The one that is shown; needed where there are several.
        geometry: Name of the geometry; needed where there are several.
        longest: Longer side of the picture, px.
        smooth: Standard deviation of a Gaussian, in sides of a patch; 0 for none.
        beyond_tissue: Keep the part of a patch that lies outside the tissue, too.
        include_stale: Take patches that are stale or unverified, too.

    Returns:
        The heat map; where patches overlap, the mean of those that cover a px, NaN where there is none.

    Raises:
        InvalidScores: The scores cannot be read, or are not of these patches; or both are given, or none.
        NoAttention: No attention is kept of that encoder.
        UnknownName, NotFresh: As ``Results.coords`` raises them.

    Example:
        >>> read = ap.results("out")
        >>> shares = read.coords("CMU-1-Small-Region")[:, 1]
        >>> heat = ap.heat_map(read, "CMU-1-Small-Region", shares, longest=512)
        >>> heat.values.shape, float(heat.affine[0, 0].round(2)), heat.rgba().shape
        ((512, 383), 5.8, (512, 383, 4))
    """
    read = results if isinstance(results, Results) else read_results(results)
    _check(stem, scores, attention, head, column)
    _check_size(longest, smooth)
    step = read.step("patch_coords" if attention is None else "slide_embedding", attention, geometry)
    read.usable(stem, step, include_stale=include_stale)
    slide = read.slide_results(stem, [step], include_stale=include_stale)
    if scores is None:
        scored = attention_slide(slide, str(step.encoder), head)
    else:
        source = Path(scores).name if isinstance(scores, (str, Path)) else GIVEN
        rows = SlideRows(_columns(scores), read.verdicts.selection.stems, source).of(stem)
        scored = scored_slide(slide, rows, source, None if column is None else str(column))
    return scored.heat(longest, smooth, beyond_tissue=beyond_tissue)


def _check(stem: str, scores: object, attention: str | None, head: int | None, column: str | int | None) -> None:
    """Raise InvalidScores unless one of scores and attention is given, and what chooses of that one alone."""
    if (scores is None) == (attention is None):
        raise InvalidScores(f"{stem}: give scores or attention, one of them")
    if scores is not None and head is not None:
        raise InvalidScores(f"{stem}: head={head!r} is of attention; give column to choose one of several columns")
    if attention is not None and column is not None:
        raise InvalidScores(f"{stem}: column={column!r} is of scores; give head to choose one of several heads")


def _check_size(longest: int, smooth: float) -> None:
    """Raise InvalidScores for a picture that cannot be."""
    if not (isinstance(longest, Integral) and longest >= 1):
        raise InvalidScores(f"longest={longest!r} is no length of a picture; give a whole number of px from 1 on")
    if not (isinstance(smooth, Real) and 0 <= smooth < inf):
        raise InvalidScores(
            f"smooth={smooth!r} is no width of a Gaussian; give a number from 0 on, in sides of a patch"
        )


def _columns(scores: "str | Path | ArrayLike | pd.DataFrame | pd.Series") -> Columns:
    if isinstance(scores, (str, Path)):
        return read_score_columns(Path(scores))
    import pandas as pd

    if isinstance(scores, pd.Series):
        scores = scores.to_frame("score" if scores.name is None else scores.name)
    return of_frame(scores, GIVEN) if isinstance(scores, pd.DataFrame) else of_array(_array(scores), GIVEN)


def _array(scores: Any) -> NDArray[Any]:
    """Return numbers as an array, what is masked as NaN. Raises InvalidScores for what is no array."""
    if isinstance(scores, np.ma.MaskedArray):
        return np.ma.filled(scores.astype(object), np.nan)
    try:
        return np.asarray(scores)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidScores(f"{GIVEN} are no array ({error}); give one number for each patch") from error

"""Attention that is kept beside slide embeddings, as scores of patches."""

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import InvalidScores, NotFresh
from atlaspatch_core.interop.export.values import SlideResults
from atlaspatch_core.interop.scores.scored_slide import ScoredSlide


def attention_slide(slide: SlideResults, encoder: str, head: int | None = None) -> ScoredSlide:
    """Return a slide with the attention of a slide encoder for scores; of several heads their mean, or one of them.

    Args:
        slide: Results of the slide, with embeddings of that encoder alone.
        encoder: What errors call it.
        head: The head that is shown, from 0.

    Raises:
        NotFresh: The embedding may not be used, or is not there.
        NoAttention: None is kept beside it.
        InvalidScores: There is no such head, or embeddings are there of several geometries.
    """
    geometries = [geometry for geometry in slide.geometries if geometry.embeddings]
    if not geometries:
        why = "; ".join((*slide.refused, *slide.missing)) or f"it has no embedding of {encoder}"
        raise NotFresh(f"{slide.stem}: {why}")
    if len(geometries) > 1:
        names = ", ".join(geometry.name for geometry in geometries)
        raise InvalidScores(f"{slide.stem}: embeddings are there of the geometries {names}; name one as geometry")
    [embedding] = geometries[0].embeddings
    weights = embedding.read_attention()
    title = f"{embedding.name} attention" + ("" if head is None else f", head {head}")
    return ScoredSlide(slide, geometries[0], _of_head(weights, head, f"{slide.stem}: {embedding.name}"), title)


def _of_head(weights: NDArray[np.float32], head: int | None, about: str) -> NDArray[np.float64]:
    """Return one number a patch, shape (n,)."""
    columns = weights.astype(np.float64).reshape(len(weights), -1)
    if head is None:
        return columns.mean(axis=1)
    if not 0 <= head < columns.shape[1]:
        raise InvalidScores(f"{about} has no head {head}; give one from 0 to {columns.shape[1] - 1}")
    return columns[:, head]

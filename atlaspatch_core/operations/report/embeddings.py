"""Slide embeddings of a cohort beside each other: a flat map, the nearest slides, and slides that are one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.operations.report.values import SlideSummary

NEAREST = 5
"""Neighbours that are kept of each slide."""
MOST_COMPARED = 10_000
"""Slides that are compared each with each; beyond, no neighbours are sought."""
ROWS_AT_ONCE = 1024
SAME = 0.9999
"""Cosine above which two slides are taken for one under two names."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A slide near another."""

    stem: str
    cosine: float


@dataclass(frozen=True, slots=True)
class EmbeddingMap:
    """The embeddings of one slide encoder, all of one length."""

    step: str
    """Such as ``20x/slide_embedding/titan``."""
    stems: tuple[str, ...]
    points: NDArray[np.float64]
    """Shape (n, 2): the first two principal components of the embeddings scaled to length one."""
    explained: tuple[float, float]
    """Share of the variance that each of the two carries."""
    norms: Mapping[str, float]
    """Stem to the length of its embedding."""
    nearest: Mapping[str, tuple[Neighbour, ...]]
    """Stem to the slides of highest cosine, nearest first; empty where too many would be compared."""

    @property
    def name(self) -> str:
        """Geometry, where it has a name, and encoder."""
        return self.step.replace("slide_embedding/", "").replace("/", " ")


def embedding_maps(slides: Sequence[SlideSummary]) -> tuple[EmbeddingMap, ...]:
    """Return one map per slide encoder that has embeddings, in the order of the recipe."""
    steps = dict.fromkeys(step for slide in slides for step in slide.embeddings)
    return tuple(embedding_map(step, [slide for slide in slides if step in slide.embeddings]) for step in steps)


def embedding_map(step: str, slides: Sequence[SlideSummary]) -> EmbeddingMap:
    """Return the map of one slide encoder; embeddings of another length than most, or not finite, are left out."""
    usual = np.bincount([len(slide.embeddings[step]) for slide in slides]).argmax()
    usable = [slide for slide in slides if _is_usable(slide.embeddings[step], int(usual))]
    stems = tuple(slide.stem for slide in usable)
    vectors = np.array([slide.embeddings[step] for slide in usable], np.float32).reshape(len(usable), int(usual))
    norms = np.linalg.norm(vectors, axis=1)
    units = vectors / np.maximum(norms, np.finfo(np.float32).tiny)[:, None]
    points, explained = principal_components(units)
    return EmbeddingMap(
        step, stems, points, explained, dict(zip(stems, norms.tolist(), strict=True)), nearest(units, stems)
    )


def _is_usable(vector: NDArray[np.float32], dim: int) -> bool:
    return len(vector) == dim and bool(np.isfinite(vector).all())


def principal_components(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return the first two principal components, shape (n, 2), and the share of the variance of each.

    The largest entry of each component's axis is positive, so that equal embeddings give equal maps. Missing components
    (fewer than three slides) are zero.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    directions, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    count = min(2, len(lengths))
    signs = np.sign(np.take_along_axis(axes[:count], np.abs(axes[:count]).argmax(axis=1)[:, None], axis=1))[:, 0]
    points = np.zeros((len(vectors), 2))
    points[:, :count] = directions[:, :count] * lengths[:count] * np.where(signs == 0, 1, signs)
    whole = float((lengths**2).sum())
    shares = [float(length**2) / whole if whole > 1e-12 else 0.0 for length in lengths[:2]]
    return points, (shares[0] if shares else 0.0, shares[1] if len(shares) > 1 else 0.0)


def nearest(
    units: NDArray[np.float32], stems: tuple[str, ...], count: int = NEAREST
) -> dict[str, tuple[Neighbour, ...]]:
    """Return the ``count`` slides of highest cosine for each slide; ``units`` (n, d) are of length one."""
    if len(stems) > MOST_COMPARED:
        return {}
    neighbours: dict[str, tuple[Neighbour, ...]] = {}
    for start in range(0, len(stems), ROWS_AT_ONCE):
        cosines = units[start : start + ROWS_AT_ONCE] @ units.T
        np.fill_diagonal(cosines[:, start:], -np.inf)
        order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(stems) - 1)]
        for row, others in enumerate(order.tolist()):
            near = (Neighbour(stems[other], min(1.0, float(cosines[row, other]))) for other in others)
            neighbours[stems[start + row]] = tuple(near)
    return neighbours

"""One slide under two names: embeddings that are all but equal."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import OutputInUse
from atlaspatch_core.storage.disk import open_file, read_whole
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import OutputSpec

SAME_SLIDE = 0.99999
"""Cosine of two embeddings from which on they are taken for one slide."""
VECTORS = 4096
"""Embeddings compared at a time."""


def find_near_duplicates(
    store: Store, stage: OutputSpec, stems: Sequence[str], candidates: Sequence[str]
) -> dict[str, list[str]]:
    """Return, for each of ``stems`` whose embedding can be read, those of ``candidates`` that it is by another name.

    Embeddings are read once each; some thousand of them are in memory beside those of ``stems``.

    Args:
        store: The output folder.
        stage: The slide encoder's output.
        stems: Slides to ask about.
        candidates: Slides to compare with.

    Returns:
        Stem to stems of the same slide, mostly none: embeddings whose cosine is above 0.99999.

    Example:
        >>> stems = ["CMU-1-Small-Region"]
        >>> find_near_duplicates(Store(Path("out")), recipe.stages[-1], stems, candidates=stems)
        {'CMU-1-Small-Region': []}
    """
    names, vectors = _unit_vectors(store, stage, stems)
    twins: dict[str, list[str]] = {name: [] for name in names}
    for start in range(0, len(candidates) if names else 0, VECTORS):
        others, block = _unit_vectors(store, stage, candidates[start : start + VECTORS])
        if not others or block.shape[1] != vectors.shape[1]:
            continue
        for row, column in zip(*np.nonzero(vectors @ block.T > SAME_SLIDE), strict=True):
            if names[row] != others[column]:
                twins[names[row]].append(others[column])
    return twins


def _unit_vectors(store: Store, stage: OutputSpec, stems: Iterable[str]) -> tuple[list[str], NDArray[np.float64]]:
    """Return the stems that have an embedding, and those at length 1, float64, shape (n, dim)."""
    embeddings = {
        stem: vector for stem in stems if (vector := _embedding(store.h5(stem, stage.step.geometry), stage)) is not None
    }
    dim = max(map(len, embeddings.values()), default=0)
    alike = {stem: vector for stem, vector in embeddings.items() if len(vector) == dim}
    return list(alike), np.array(list(alike.values()), np.float64).reshape(len(alike), dim)


def _embedding(path: Path, stage: OutputSpec) -> NDArray[np.float64] | None:
    try:
        with open_file(path) as file:
            vector = np.asarray(read_whole(file[stage.dataset]), np.float64).ravel()  # type: ignore[arg-type]
    except (OSError, KeyError, OutputInUse):
        return None
    norm = np.linalg.norm(vector)
    return vector / norm if np.isfinite(norm) and norm > 0 else None

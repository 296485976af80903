"""Part of a slide's patches, encoded by another worker than the one that writes them: what workers send each other."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.validity.outcome import OutputKey

LEAST_SHARE = 256
"""Patches that are worth a second worker: it opens the slide anew, which takes some tenths of a second."""


@dataclass(frozen=True, slots=True, eq=False)
class PatchShare:
    """Patches of a slide that another worker is to encode."""

    key: str
    """Unlike that of any other share."""
    source: SlideSource
    geometry: str
    steps: tuple[OutputKey, ...]
    """Features that are computed."""
    coords: str
    """Fingerprint of the coords whose rows are meant."""
    rows: NDArray[np.int64]
    """Shape (b,), ascending."""


@dataclass(frozen=True, slots=True)
class ShareWanted:
    """Asks a worker to give patches away, because another has nothing to do."""

    workers: int
    """How many share the slide, its own among them."""
    least: int


@dataclass(frozen=True, slots=True)
class NothingToShare:
    """The answer of a worker that has too few patches left."""

    stem: str
    """Of the slide that it reads; empty where it reads none."""
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class ShareFeatures:
    """Features of some rows of a share."""

    key: str
    rows: NDArray[np.int64]
    """Shape (b,): rows of the coords."""
    features: tuple[NDArray[np.float32], ...]
    """By step of the share: shape (b, dim)."""


@dataclass(frozen=True, slots=True)
class ShareEnd:
    """No more comes of a share; rows that did not come are computed by the worker that gave them away."""

    key: str


@dataclass(frozen=True, slots=True)
class DropShare:
    """Nobody wants a share any more."""

    key: str


@dataclass(frozen=True, slots=True)
class Flush:
    """No slide comes for now: what waits for a full batch is encoded without."""


FLUSH: Final = Flush()

"""What the report knows: slides, their outputs, and what is wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.states import State, Validity

Failures = Mapping[OutputKey, Mapping[str, str]]
"""Step to stem to the reason why the last attempt failed."""


PERSON = "a person"


@dataclass(frozen=True, slots=True)
class SlideSummary:
    """One slide, from its record, GeoJSON and HDF5 files; the slide itself was not opened."""

    stem: str
    outputs: tuple[Validity, ...]
    """One per step of the recipe, in its order."""
    info: SlideInfo | None = None
    """None when the slide was never looked at."""
    present: bool = True
    """Whether the slide lies in the project's folders now."""
    outlines_by: str = ""
    """Who made outlines that no step made: ``PERSON``, or another tool, by its name."""
    mask: Mapping[str, float] = field(default_factory=dict)
    """Numbers of the tissue mask, such as ``tissue_share``."""
    patches: Mapping[str, int] = field(default_factory=dict)
    """Name of the geometry to the number of patches."""
    embeddings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Step, as text, to the embedding of the slide, shape (d,)."""
    picture: Path | None = None
    """The small JPEG with the outlines of the tissue."""
    outlines: str = ""
    """The polygons as an SVG path in level-0 px, where there is no picture."""

    def in_state(self, state: State) -> tuple[Validity, ...]:
        """Return the outputs in one state, upstream first."""
        return tuple(output for output in self.outputs if output.state is state)


@dataclass(frozen=True, slots=True)
class Cohort:
    """All slides of a project."""

    steps: tuple[OutputKey, ...]
    """The steps of the recipe."""
    slides: tuple[SlideSummary, ...]
    """Sorted by stem."""

    @property
    def failures(self) -> tuple[Validity, ...]:
        """Every output that could not be made, by slide."""
        return tuple(output for slide in self.slides for output in slide.in_state(State.FAILED))

"""What became of one step for one slide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from atlaspatch_core.tissue.quality import QualityFinding, failed

OF_CASES = "patient_embedding"
"""Kind of the outputs that a case has; all others are a slide's."""


class Status(StrEnum):
    """Fate of a step."""

    COMPUTED = "computed"
    REUSED = "reused"
    RESTAMPED = "restamped"
    """Not computed: a canary showed that what decides the output now gives the same numbers."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not tried: an earlier step of the slide failed, or there is nothing to make (no patches)."""


@dataclass(frozen=True, slots=True)
class OutputKey:
    """One output of a slide: its kind, and the name of the encoder where there are several."""

    kind: str
    """``slide``, ``tissue_mask``, ``patch_coords``, ``patch_features`` or ``slide_embedding``."""
    encoder: str | None = None
    geometry: str = ""
    """Name of the geometry in the project; empty for the only or first one, and for ``slide`` and ``tissue_mask``."""

    def __str__(self) -> str:
        return "/".join(part for part in (self.geometry, self.kind, self.encoder) if part)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one step for one slide; the command line prints it, an outer layer records it."""

    stem: str
    step: OutputKey
    status: Status
    fingerprint: str | None = None
    """Identity of the output, 16 hex digits; None when failed, or skipped because of a failure."""
    code_version: str | None = None
    """Identity of what decides the step's numbers on every slide, 16 hex digits; None where ``fingerprint`` is."""
    why: str = ""
    """Why it was computed, reused, skipped, or how it failed: one sentence."""
    numbers: Mapping[str, int | float] = field(default_factory=dict)
    """Counts and measures under plain names, such as ``patches`` or ``tissue_share``."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Short texts under plain names, such as ``mpp_source``."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Step (as text) to the fingerprint that this output was computed from."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What of the project decides the output, JSON values; empty when ``fingerprint`` is None."""
    seconds: float = 0.0
    path: Path | None = None
    """File that holds the output."""
    picture: Path | None = None
    """A small JPEG of the output, at most 8 kB, where there is one."""
    notes: tuple[str, ...] = ()
    """What a person should know, a clause each, and each a warning: of the slide, of a geometry without patches."""
    findings: tuple[QualityFinding, ...] = ()
    """How the numbers were judged, passed or not; tissue masks have some."""
    transient: bool = False
    """Whether a failure may be gone at the next attempt: storage went away, or memory was short."""
    lacks_coords: bool = False
    """Whether it failed because nobody supplied coords for the slide, which is no reason to stop before the others."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd, a clause each; what made the step fail is the reason why instead."""
        odd = () if self.status is Status.FAILED else failed(self.findings)
        return (*self.notes, *(finding.text for finding in odd))

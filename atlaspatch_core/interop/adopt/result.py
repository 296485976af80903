"""What became of a result that was to be taken over."""

from dataclasses import dataclass
from enum import StrEnum


class AdoptStatus(StrEnum):
    """How a result came to lie in the output."""

    SAME = "taken over"
    """Provably what would be computed here; it counts as computed."""
    VERIFIED = "verified"
    """Some of it was computed again, and was the same; it counts as computed."""
    ACCEPTED = "accepted"
    """A person took it as it is; it counts as computed, and says who did so."""
    UNVERIFIED = "unverified"
    """It is kept and marked; the next run computes it anew."""
    THERE = "already there"
    """The output has it; nothing was changed."""
    LEFT = "left out"
    """It cannot be taken over; why says what to do."""
    FAILED = "failed"
    """Taking it over went wrong."""
    ODD = "odd"
    """Of the slide itself: why says what a person should know of it. It is no result."""


@dataclass(frozen=True, slots=True)
class AdoptOutcome:
    """One result of one slide."""

    stem: str
    what: str
    """``outlines``, ``coords``, ``features/uni_v1``; below the name of its geometry where that has one."""
    fate: AdoptStatus
    why: str = ""

    @property
    def bad(self) -> bool:
        """Whether something is to be done about it."""
        return self.fate in (AdoptStatus.LEFT, AdoptStatus.FAILED)

"""Fingerprints of identities that differ in their inputs alone, for many slides at little cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from atlaspatch_core.fingerprint import Identity, canonical_json, short_hash


@dataclass(frozen=True, slots=True)
class IdentityTemplate:
    """The text of an identity with gaps for fingerprints: hashing it for many slides costs little."""

    parts: tuple[str, ...]
    order: tuple[int, ...]

    @classmethod
    def from_identity(cls, make: Callable[[Sequence[str]], Identity], gaps: int) -> Self:
        """Return the form of what ``make`` returns for so many fingerprints."""
        marks = [f"<gap {number} of an identity's text>" for number in range(gaps)]
        text = canonical_json(make(marks).as_dict())
        places = sorted(range(gaps), key=lambda number: text.index(marks[number]))
        parts = []
        for place in places:
            part, text = text.split(marks[place])
            parts.append(part)
        return cls((*parts, text), tuple(places))

    def fingerprint(self, *fingerprints: str) -> str:
        """Return the fingerprint of the identity with these in its gaps."""
        filled = (part + fingerprints[place] for part, place in zip(self.parts, self.order, strict=False))
        return short_hash("".join(filled) + self.parts[-1])

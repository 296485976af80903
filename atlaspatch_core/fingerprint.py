"""Identities: what decides an output, hashed; and which part of it changed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

LONGEST_SHOWN = 60
UPSTREAM = "upstream changed: "
"""Begins the reason of an output that is stale for what it was made of."""


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def short_hash(text: str) -> str:
    """Return the first 16 hex digits of the text's sha256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Identity:
    """Everything that decides an output, and so whether a stored one may be used again."""

    step: str
    """Kind of step, such as ``patch_coords``."""
    version: int
    """Version of the code that decides the step's numbers."""
    spec: Mapping[str, Any]
    """JSON values that decide the numbers."""
    inputs: Mapping[str, str]
    """Input step to its fingerprint."""

    def __post_init__(self) -> None:
        """Take the values as JSON has them, so that an identity read back equals the one that was written."""
        object.__setattr__(self, "spec", json.loads(canonical_json(self.spec)))
        object.__setattr__(self, "inputs", dict(self.inputs))

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits; equal for equal identities."""
        return short_hash(canonical_json(self.as_dict()))

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"step": self.step, "version": self.version, "spec": dict(self.spec), "inputs": dict(self.inputs)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read back what ``as_dict`` gave."""
        return cls(values["step"], values["version"], values["spec"], values["inputs"])


def is_unverified(identity: Identity) -> bool:
    """Say whether an output was taken over from elsewhere without proof that it is what it is called."""
    return bool(identity.spec.get("unverified"))


def why_stale(stored: Identity | None, expected: Identity) -> str:
    """Return what differs, with both values, or an empty text when the stored output is still valid.

    Where nothing but inputs differ, the first of them is named: its fingerprints tell nobody anything.
    """
    if stored is None:
        return "missing"
    if is_unverified(stored):
        reason = stored.spec.get("reason", "not proven")
        return (
            f"adopted from {stored.spec.get('origin')}, unverified ({reason}); 'atlaspatch adopt' proves or accepts it"
        )
    before, after = _flat(stored.as_dict()), _flat(expected.as_dict())
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    own_keys = (key for key in changed if not key.startswith("inputs."))
    differences = (
        f"{key.removeprefix('spec.')} {_shorten(before.get(key))} → {_shorten(after.get(key))}" for key in own_keys
    )
    return "; ".join(differences) or upstream_reason(changed_input(stored, expected))


def changed_input(stored: Identity, expected: Identity) -> str:
    """Return the first input that differs, as ``expected`` orders them; empty where none does."""
    names = (*expected.inputs, *stored.inputs)
    return next((name for name in names if stored.inputs.get(name) != expected.inputs.get(name)), "")


def upstream_reason(changed: object) -> str:
    """Return why an output is stale that was made of something that changed; empty for nothing."""
    return f"{UPSTREAM}{changed}" if changed else ""


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return flat


def _shorten(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"

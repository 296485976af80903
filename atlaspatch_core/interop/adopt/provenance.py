"""How a result says that it was taken over, and on whose word."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from getpass import getuser
from socket import gethostname
from typing import Any

from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.upgrades.comparison import Canary
from atlaspatch_core.validity.recipe import STEP_VERSIONS

NO_WEIGHTS = "no weights recorded"
OTHER_PATCHES = "our grid gives other patches"
OF_OTHERS = "made of other patches"
DIFFERENT = "computed again, it was different"
NO_ENCODER = "the project has no such encoder"
VERIFIED, REFUTED = "verified", "different"
"""What a recipe says of the rows that were computed again: they were the same, or not."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What results of one origin say."""

    origin: str
    """Whose results they are."""
    accept: bool = False
    """Whether a person takes unverified results as they are."""

    def unverified(self, kind: str, inputs: Mapping[str, str], reason: str, **spec: Any) -> Identity:
        """Return an identity that is never the one that a project asks for, until somebody proves or accepts it."""
        facts = {"origin": self.origin, "unverified": True, "reason": reason, **spec}
        return Identity(kind, STEP_VERSIONS[kind], facts, inputs)

    @property
    def same(self) -> dict[str, Any]:
        """What the recipe of a result says that provably is what would be computed."""
        return {"origin": self.origin}

    @property
    def accepted(self) -> dict[str, Any]:
        """What the recipe of a result says that a person takes as it is."""
        facts = {"by": f"{getuser()}@{gethostname()}", "at": datetime.now(UTC).isoformat(timespec="seconds")}
        return {"origin": self.origin, "accepted": facts}

    def verified(self, canary: Canary, tried: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the recipe of a result says of which a part was computed again; ``tried`` tells which part."""
        return {"origin": self.origin, VERIFIED: _shown(canary, tried), REFUTED: None}

    def refuted(self, canary: Canary, tried: Mapping[str, Any]) -> dict[str, Any]:
        """Return the same of a result of which that part was different."""
        return {"origin": self.origin, VERIFIED: None, REFUTED: _shown(canary, tried)}


def _shown(canary: Canary, tried: Mapping[str, Any]) -> dict[str, Any]:
    return {"patches": canary.patches, "least_cosine": canary.least_cosine, **tried}

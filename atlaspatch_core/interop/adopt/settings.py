"""How results of others are to be taken over, and where to."""

from dataclasses import dataclass

from atlaspatch_core.interop.adopt.sampling import Verify
from atlaspatch_core.storage.store import Store


@dataclass(frozen=True, slots=True)
class AdoptSettings:
    """How results are to be taken over."""

    verify: Verify = 0
    """Patches of every slide and encoder that are encoded again to prove features; 0: none."""
    accept: bool = False
    """Take what cannot be proven as it is, on the user's word."""
    keep_patches: bool = False
    """Draw outlines round the patches rather than take the outlines there are, so that exactly these patches stay."""
    dry_run: bool = False
    """Write nothing."""
    encoder: str = ""
    """What made features that do not say it."""


@dataclass(frozen=True, slots=True)
class AdoptTarget:
    """Where results are taken over to, and on whose word."""

    store: Store
    origin: str
    """Who made the results, as their marks say it."""
    settings: AdoptSettings

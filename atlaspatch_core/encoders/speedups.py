"""Whether an optimization of a network pays for itself, by what was measured the last time. Imports no torch."""

from dataclasses import asdict, dataclass
from hashlib import sha256
from json import dumps, loads
from math import isfinite
from pathlib import Path

from atlaspatch_core.encoders.weights import cache_folder, write_cached

MARGIN = 2.0
"""So many times its cost has to be saved: what is to come is an estimate, and other processes come and go."""


@dataclass(frozen=True, slots=True)
class Speedup:
    """What an optimization of a network costs and brings."""

    seconds: float
    """To make and to try it."""
    times_as_fast: float
    """As the network as it is; 0 where it cannot be made or gives other features."""

    def pays(self, patches: int, seconds_per_patch: float) -> bool:
        """Tell whether so many patches more, at the present rate, save twice what it costs."""
        if self.times_as_fast <= 1:
            return False
        saved = patches * seconds_per_patch * (1 - 1 / self.times_as_fast)
        return saved > MARGIN * self.seconds


def remembered_speedup(key: str) -> Speedup | None:
    """Return what was measured under this key on this machine; None where nothing was, or it cannot be read."""
    try:
        speedup = Speedup(**loads(_memo(key).read_text()))
        return speedup if all(map(isfinite, (speedup.seconds, speedup.times_as_fast))) else None
    except (OSError, ValueError, TypeError):
        return None


def remember_speedup(key: str, speedup: Speedup) -> None:
    """Keep what was measured under this key, in the user's cache folder."""
    write_cached(_memo(key), dumps(asdict(speedup)))


def _memo(key: str) -> Path:
    return cache_folder() / "speed" / f"{sha256(key.encode()).hexdigest()}.json"

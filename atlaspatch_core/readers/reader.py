"""What a reader declares of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.mpp import Stated
from atlaspatch_core.slide import Slide


@dataclass(frozen=True, slots=True)
class Reader:
    """One way to read slides. Its library is imported when a function is called, not when it is declared."""

    name: str
    suffixes: tuple[str, ...]
    """Lower case, with the dot: what a folder is searched for."""
    recognises: Callable[[Path], bool]
    """Say by its content whether the file is of a format that this reader knows; never raises."""
    open: Callable[[Path, Stated], Slide]
    """Open the file; what the user states of its scale goes to ``find_scale``. Raises UnreadableSlide, UnknownScale, ImplausibleScale."""

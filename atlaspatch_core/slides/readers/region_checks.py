"""Regions that a lenient library reads, looked at for damage before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, final

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.readers.windows import Window
from atlaspatch_core.slides.slide import Level, Region, stem_of


class TileChecks(Protocol):
    """What looks at the stored tiles of windows, each once."""

    def check(self, window: Window, /) -> None:
        """Raise ValueError for a damaged tile."""
        ...

    def close(self) -> object:
        """Release the file."""
        ...


@final
class RegionChecks:
    """Looks at the tiles under regions. Owns what it looks with."""

    def __init__(self, path: Path, checks: TileChecks, places: Mapping[int, int]) -> None:
        """``places``: number of a level to its place among those that ``checks`` knows; others are not looked at."""
        self._stem = stem_of(path)
        self._checks = checks
        self._places = places

    def check(self, region: Region, level: Level) -> None:
        """Raise UnreadableSlide where a region touches a tile that is damaged."""
        left, top = (int(at // along) for at, along in zip((region.x, region.y), level.downsamples, strict=True))
        right, bottom = min(left + region.width + 1, level.width), min(top + region.height + 1, level.height)
        left, top = max(0, left), max(0, top)
        if right <= left or bottom <= top or region.level not in self._places:
            return
        window = Window(self._places[region.level], left, top, right - left, bottom - top)
        try:
            self._checks.check(window)
        except (ValueError, RuntimeError, OSError) as error:
            raise UnreadableSlide(
                f"{self._stem}: the pixels at ({region.x}, {region.y}) of level {region.level} cannot be decoded "
                f"({error}), the file is damaged; {COPY}"
            ) from error

    def close(self) -> None:
        """Release the file."""
        self._checks.close()

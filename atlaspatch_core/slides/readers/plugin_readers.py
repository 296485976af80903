"""Readers of plugins: what their code raises is said of the slide, and what they return has to be what it should."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import AtlasPatchError, InvalidProject, UnreadableSlide
from atlaspatch_core.plugins.foreign_code import is_foreign_exit, place_of
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.readers.reader import Reader
from atlaspatch_core.slides.slide import Region, Slide, SlideInfo, stem_of

CURE = "correct the plugin, or open the slide with another reader"


def guarded_reader(reader: Reader) -> Reader:
    """Return the reader of a plugin, so that its errors are of the slide alone. Raises InvalidProject for odd suffixes.

    What it opens says which plugin it is of.
    """
    if wrong := [suffix for suffix in reader.suffixes if suffix != f".{str(suffix).lower().lstrip('.')}"]:
        raise InvalidProject(
            f"the reader {reader.name} of a plugin has the suffix {wrong[0]!r}; write it in lower case, with a dot"
        )

    def recognises(path: Path) -> bool:
        with said_of(reader, stem_of(path)):
            return bool(reader.recognises(path))

    def open_guarded(path: Path, stated: StatedMpp, series: int | None) -> Slide:
        with said_of(reader, stem_of(path)):
            return PluginSlide(reader, path, reader.open(path, stated, series))

    def sections(path: Path) -> tuple[int, ...]:
        with said_of(reader, stem_of(path)):
            return tuple(reader.sections(path))

    return replace(reader, recognises=recognises, open=open_guarded, sections=sections)


@contextmanager
def said_of(reader: Reader, stem: str) -> Iterator[None]:
    """Raise UnreadableSlide for whatever the code of a reader raises, with the file and the line of the plugin."""
    try:
        yield
    except (AtlasPatchError, MemoryError):
        raise
    except BaseException as error:  # code of others, which may raise anything, or end the program
        if not isinstance(error, Exception) and not is_foreign_exit(error):
            raise
        what = f"{type(error).__name__}: {error}{place_of(error)}"
        raise UnreadableSlide(f"{stem}: the reader {reader.name} of a plugin fails ({what}); {CURE}") from error


@final
class PluginSlide(Slide):
    """A slide that the reader of a plugin opened. Owns it."""

    def __init__(self, reader: Reader, path: Path, slide: Slide) -> None:
        info = getattr(slide, "info", None)
        if not isinstance(info, SlideInfo):
            what = f"opens a {type(slide).__name__} without SlideInfo"
            raise UnreadableSlide(f"{stem_of(path)}: the reader {reader.name} of a plugin {what}; {CURE}")
        self._reader, self._slide = reader, slide
        self._info = replace(info, stem=stem_of(path), path=path, reader=reader.name, plugin=reader.plugin)

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._info

    def read_region(self, region: Region) -> NDArray[np.uint8]:
        """Return RGB pixels (height, width, 3). Raises UnreadableSlide for what is no such array."""
        with said_of(self._reader, self._info.stem):
            pixels = np.asarray(self._slide.read_region(region))
        if pixels.shape != (region.height, region.width, 3) or pixels.dtype != np.uint8:
            raise UnreadableSlide(
                f"{self._info.stem}: the reader {self._reader.name} of a plugin reads {pixels.dtype} {pixels.shape} "
                f"where RGB uint8 {(region.height, region.width, 3)} is asked for; {CURE}"
            )
        return pixels

    def close(self) -> None:
        """Release the file."""
        with said_of(self._reader, self._info.stem):
            self._slide.close()

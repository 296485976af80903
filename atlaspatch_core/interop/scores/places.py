"""Where overlays are written: not among results, and over no file but an earlier overlay of that slide and format."""

import os
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.slides.files import MIRAX
from atlaspatch_core.slides.first_bytes import read_head
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.storage.picture_provenance import MARK
from atlaspatch_core.storage.store import Store

HEAD = 2**16
"""Bytes of a file in which its mark lies, be it a TIFF of many tags."""


def check_folder(folder: Path, output: Path) -> None:
    """Raise UnwritableOutput for a folder among the results of ``output``, but for the one that is for overlays."""
    overlays, place = Store(output).overlays, folder.resolve()
    if place.is_relative_to(output.resolve()) and not place.is_relative_to(overlays.resolve()):
        raise UnwritableOutput(
            f"{folder}: it lies in the output folder {output}, where an overlay would be taken for a result; give "
            f"{overlays}, or a folder elsewhere"
        )


@dataclass(frozen=True, slots=True)
class OverlayFile:
    """One file of a slide's overlay, that is to be written."""

    path: Path
    stem: str
    format: str

    @property
    def mark(self) -> str:
        """What stands at the beginning of the file and tells it from those of other slides, formats and programs."""
        return f"{MARK}overlay {short_hash(f'{self.format} {self.stem}')}"

    def check(self, info: SlideInfo | None) -> None:
        """Raise UnwritableOutput where another file lies there, or the place is one of the slide's own."""
        if info is not None and self.path.resolve().is_relative_to(_home(info.path)):
            why = "is the slide itself, or would lie among its files"
        elif os.path.lexists(self.path) and self.mark.encode() not in read_head(self.path, HEAD):
            why = f"is there and is no {self.format} that overlay made of this slide"
        else:
            return
        raise UnwritableOutput(f"{self.stem}: {self.path} {why}; give another folder with --to")


def _home(slide: Path) -> Path:
    """Return the file of a slide, or the folder that holds its data."""
    return (slide.with_suffix("") if slide.suffix.lower() == MIRAX else slide).resolve()

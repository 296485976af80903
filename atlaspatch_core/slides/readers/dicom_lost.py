"""Instances of a series that the DICOM library passes over: it logs what it cannot open, and shows the others."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.dicom_files import is_picture
from atlaspatch_core.slides.readers.advice import COPY
from atlaspatch_core.slides.slide import stem_of


def check_all_shown(path: Path, files: Sequence[Path], slide: Any) -> None:
    """Raise UnreadableSlide where an instance of the scan is not shown: a coarser level would be taken for the finest.

    ``slide`` is the open ``WsiDicom`` of the ``files``.
    """
    shown = set(_files_shown(slide))
    lost = [file.name for file in files if file.name not in shown and not is_picture(file)]
    if lost:
        raise UnreadableSlide(
            f"{stem_of(path)}: {', '.join(lost[:3])} of its {len(files)} files is cut short, damaged, "
            f"or of another scan than the others; {COPY}"
        )


def _files_shown(slide: Any) -> Iterator[str]:
    for pyramid in slide.pyramids:
        for level in pyramid:
            for instance in level.instances.values():
                yield from (file.name for file in instance.image_data.files)

"""Whether the folders of slides are still there: where one went away, none of its slides is to blame."""

import os
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.search import root_of

CURE = "mount its disk, and run again: what was finished is reused"


def lost_folder(project: Project, slide: Path | None = None) -> str | None:
    """Return which folder of slides is gone or cannot be listed, in a sentence with the cure; None where all are there.

    With a ``slide`` that was found before, only of folders that it lies in; one that is empty now is then the mount
    point of a disk that is away.
    """
    folders = dict.fromkeys(map(_folder, project.slides.folders))
    holding = [folder for folder in folders if slide is None or slide.is_relative_to(folder)]
    return next(filter(None, (_fault(folder, is_used=slide is not None) for folder in holding)), None)


def _folder(path: Path) -> Path:
    """Return the folder that a path of the project names, or in which the file that it names lies."""
    root = root_of(path)
    return root.parent if root.suffix and not root.is_dir() else root


def _fault(folder: Path, *, is_used: bool) -> str | None:
    try:
        with os.scandir(folder) as entries:
            is_empty = is_used and next(entries, None) is None
    except OSError as error:
        return f"{folder}: this folder of slides cannot be looked into ({error.strerror}); {CURE}"
    return f"{folder} is empty, and slides were found in it; {CURE}" if is_empty else None

"""Whether a slide's files are still those that work on it began with."""

from pathlib import Path
from typing import NamedTuple, Self, final

from atlaspatch_core.errors import ReplacedSlide
from atlaspatch_core.slides.content_hash import content_fingerprint, sampled_files
from atlaspatch_core.slides.local_copy import local_copy


class FileState(NamedTuple):
    """What the file system says of a file. ``cp -p`` keeps size and time of change, and none of the others."""

    number: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, file: Path) -> Self | None:
        """Return the state of a file; None where it cannot be looked at."""
        try:
            state = file.stat()
        except OSError:
            return None
        return cls(state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@final
class SlideWatch:
    """The files of a slide as they were at first. Its content is read again only where their states differ.

    A file that was touched, copied or moved with the same content is the same slide. Of a folder of more than 64 files
    those are looked at that its content is told by.
    """

    def __init__(self, path: Path) -> None:
        """Take the states of the files at ``path``. Raises OSError for a folder that went away."""
        self._path = path
        self._files = sampled_files(path)
        self._states = self._now()
        self._content: tuple[str, bool] | None = None

    def expect_content(self, content: str, *, full_hash: bool) -> None:
        """Take note of the content by which the slide is identified; before, any change of a state is one."""
        self._content = content, full_hash

    def is_changed(self) -> bool:
        """Tell whether the files are others than those that were identified, or cannot be looked at any more."""
        states = self._now()
        if states == self._states:
            return False
        if None in states or not self._has_content():
            return True
        self._states = states
        return False

    def _now(self) -> tuple[FileState | None, ...]:
        return tuple(FileState.of(file) for file in self._files)

    def _has_content(self) -> bool:
        if self._content is None:
            return False
        content, full_hash = self._content
        try:
            return content_fingerprint(local_copy(self._path), full_hash=full_hash) == content
        except (OSError, ReplacedSlide):
            return False

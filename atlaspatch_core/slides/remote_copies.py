"""Copies of slides that lie in object stores: on a local disk, within a budget of bytes, for as long as this process.

A slide has a copy from when it is first read. It goes when there is no room for another and nobody has it open.
"""

import atexit
import logging
import os
import shutil
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Lock
from typing import final
from uuid import uuid4

from filelock import FileLock

from atlaspatch_core.errors import ReplacedSlide, UnreadableSlide, UnwritableOutput
from atlaspatch_core.remote.mirror import mtime_ns
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.sparse_file import SparseFile, close_holes
from atlaspatch_core.remote.store import head_object
from atlaspatch_core.slides.content_hash import file_signature
from atlaspatch_core.slides.copy_folders import own_folder, remove_leftovers, remove_own
from atlaspatch_core.slides.files import slide_files
from atlaspatch_core.slides.isolated import call_reader
from atlaspatch_core.slides.readers.remote_tiff import fetch_before_opening
from atlaspatch_core.slides.slide import stem_of

log = logging.getLogger(__name__)

GIGABYTE = 10**9
FETCHED = "while it was fetched"
"""What a process did when it died."""


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """Where copies lie, and how many bytes they may take."""

    folder: Path | None = None
    """None: the folder for temporary files of the machine."""
    most_bytes: int = 50 * GIGABYTE
    """Of one process."""


@final
class RemoteCopies:
    """The copies of one process. Safe from several threads."""

    def __init__(self) -> None:
        self.limits = CopyLimits()
        self._copies: OrderedDict[tuple[str, str], Path] = OrderedDict()
        """Where a slide lies and its signature, to its copy; the one that was wanted last comes last."""
        self._making: dict[tuple[str, str], Lock] = {}
        """Held while a slide is copied, so that others go on meanwhile."""
        self._open: Counter[Path] = Counter()
        self._sizes: dict[Path, int] = {}
        """Folder of a copy, also of one that is being made, to the bytes of its slide: holes may be filled."""
        self._own: tuple[Path, FileLock] | None = None
        self._changed = Condition()

    def copy(self, path: Path) -> Path:
        """Return the copy of a slide, which is made where there is none.

        Raises UnreachableStore, UnreadableSlide, ReplacedSlide, UnwritableOutput, and OSError where its placeholder is
        gone.
        """
        key = str(path), file_signature(path)
        with self._changed:
            making = self._making.setdefault(key, Lock())
        with making:
            with self._changed:
                if key in self._copies:
                    self._copies.move_to_end(key)
                    return self._copies[key]
            copy = self._make(path)
            with self._changed:
                self._copies[key] = copy
                self._changed.notify_all()
            return copy

    @contextmanager
    def in_use(self, path: Path) -> Iterator[Path]:
        """Give the copy of a slide, which stays until this ends."""
        copy = self._opened(path)
        try:
            yield copy
        finally:
            with self._changed:
                self._open[copy] -= 1
                self._changed.notify_all()

    def _opened(self, path: Path) -> Path:
        """Return a copy that counts as open; one that went before it did is made again."""
        while True:
            copy = self.copy(path)
            with self._changed:
                if copy in self._copies.values():
                    self._open[copy] += 1
                    return copy

    def has_room(self, path: Path) -> bool:
        """Tell whether one more slide may be copied before it is wanted, without another going."""
        with self._changed:
            return sum(self._sizes.values()) + size_of(path) <= self.limits.most_bytes

    def _make(self, path: Path) -> Path:
        files = slide_files(path)
        slot = self._own_folder() / uuid4().hex
        self._reserve(slot, path)
        try:
            for file in files:
                _copy_file(file, slot / file.relative_to(path.parent))
            copy = slot / path.name
            if len(files) == 1 and copy.is_file():
                call_reader(stem_of(path), FETCHED, fetch_before_opening, copy)
            else:
                for file in files:
                    close_holes(slot / file.relative_to(path.parent))
        except BaseException as error:  # raised again, Ctrl-C too, when the half copy is gone
            self._remove(slot)
            if isinstance(error, OSError):
                raise self._unwritable(error) from error
            raise
        return copy

    def _reserve(self, slot: Path, path: Path) -> None:
        """Wait for copies that are being made, and remove those that nobody has open, until there is room for one more.

        Those that were not wanted for longest go first. What is open stays, also where that is too much.
        """
        size, most = size_of(path), self.limits.most_bytes
        if size > most:
            raise UnreadableSlide(
                f"{stem_of(path)}: it has {size:,} bytes, more than copies of slides may take ({most:,}); allow more "
                "(--remote-cache-gb)"
            )
        with self._changed:
            while sum(self._sizes.values()) + size > most:
                whole = {copy.parent for copy in self._copies.values()}
                if self._remove_idle():
                    continue
                if self._sizes.keys() <= whole:
                    log.info("%s: copies take more than %d bytes, as they are all open", path, most)
                    break
                self._changed.wait()
            self._sizes[slot] = size

    def _remove_idle(self) -> bool:
        """Remove the copy that was not wanted for longest and that nobody has open; tell whether there was one."""
        idle = next((key for key, copy in self._copies.items() if not self._open[copy]), None)
        if idle is not None:
            self._remove(self._copies.pop(idle).parent)
        return idle is not None

    def _remove(self, slot: Path) -> None:
        shutil.rmtree(slot, ignore_errors=True)
        with self._changed:
            self._sizes.pop(slot, None)
            self._changed.notify_all()

    def _own_folder(self) -> Path:
        with self._changed:
            if self._own is None:
                base = self.limits.folder or Path(tempfile.gettempdir())
                try:
                    base.mkdir(parents=True, exist_ok=True)
                    remove_leftovers(base)
                    self._own = own_folder(base)
                except OSError as error:
                    raise self._unwritable(error) from error
                atexit.register(self.clear)
            return self._own[0]

    def _unwritable(self, error: OSError) -> UnwritableOutput:
        return UnwritableOutput(
            f"{self.limits.folder or tempfile.gettempdir()}: slides cannot be copied there "
            f"({error.strerror or error}); name a folder on a local disk with room (--remote-cache)"
        )

    def clear(self) -> None:
        """Remove all copies."""
        with self._changed:
            own, self._own = self._own, None
            self._copies.clear()
            self._sizes.clear()
            if own:
                remove_own(*own)


def _copy_file(file: Path, target: Path) -> None:
    """Make a copy of one object that is all hole."""
    place = RemotePlace.of_placeholder(Path(os.path.realpath(file)))
    if place is None:
        raise UnreadableSlide(f"{file.name}: {file} stands for no object; run again")
    one, state = head_object(place), file.stat()
    if (one.size, mtime_ns(one)) != (state.st_size, state.st_mtime_ns):
        raise ReplacedSlide(f"{stem_of(file)}: {place.url} is another one since it was found; run again")
    SparseFile.create(target, one)


def size_of(path: Path) -> int:
    """Return the bytes of all files of a slide. Raises OSError."""
    return sum(file.stat().st_size for file in slide_files(path))

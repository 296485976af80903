"""Slides on slow storage, copied ahead to a fast disk and read there.

A thread copies slide after slide while others are worked on; a copy is removed when its slide is released, so that the
disk holds a bounded number. Copies lie in a folder of this process alone, whose lock dies with the process: by it the
next run knows what a killed one left, and removes that and nothing else.
"""

import logging
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Condition, Thread
from typing import Self
from uuid import uuid4

from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.slides.content_hash import file_signature
from atlaspatch_core.slides.copy_folders import own_folder, remove_leftovers, remove_own
from atlaspatch_core.slides.files import slide_files
from atlaspatch_core.slides.local_copy import is_remote

log = logging.getLogger(__name__)

CHUNK = 8 * 2**20
"""Bytes that are copied at a time; an interrupted run waits for one of them."""
LEAST_FREE = 2**30
"""Bytes that are left free on the disk, or a twentieth of a smaller disk."""
SECONDS_BETWEEN_LOOKS = 1.0
"""How often free space is looked at where there is too little: others may free some."""


class Interrupted(Exception):
    """Nobody wants the copy any more."""


class Stager:
    """Hands out slides in order, copied where that is worth it; owns its folder and its thread until it is closed."""

    def __init__(
        self,
        sources: Iterable[SlideSource],
        cache: Path,
        most_slides: int = 32,
        is_needed: Callable[[SlideSource], bool] = lambda _: True,
    ) -> None:
        """``cache`` is any folder on the fast disk; at most ``most_slides`` copies lie there at once.

        Slides of which ``is_needed`` says that nobody will read their pixels are handed out as they are, as are those
        that do not fit on the disk or cannot be copied.
        """
        self._sources, self._cache = sources, cache
        self._most, self._is_needed = most_slides, is_needed
        self._ready: deque[SlideSource] = deque()
        self._held: dict[str, Path] = {}
        self._closed = self._ended = False
        self._error: BaseException | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="stage", daemon=True)

    def __enter__(self) -> Self:
        """Remove what killed runs left, and begin to copy. Raises UnwritableOutput for a folder that is none."""
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._cache)
            self._folder, self._lock = own_folder(self._cache)
        except OSError as error:
            raise UnwritableOutput(
                f"{self._cache}: slides cannot be staged there ({error.strerror or error}); "
                "name a folder on a local disk that you may write"
            ) from error
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        remove_own(self._folder, self._lock)

    def __iter__(self) -> Iterator[SlideSource]:
        """Yield the slides; each copy stays until ``release``."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._ended)
                if not self._ready:
                    break
                source = self._ready.popleft()
            yield source
        if self._error:
            raise self._error

    def in_turn(self) -> Iterator[SlideSource]:
        """Yield the slides; each copy is removed when the next slide is asked for."""
        for source in self:
            yield source
            self.release(source.stem)

    def release(self, stem: str) -> None:
        """Remove the copy of a slide, if there is one: nobody reads it any more."""
        with self._changed:
            folder = self._held.get(stem)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
            with self._changed:
                del self._held[stem]
                self._changed.notify_all()

    def _run(self) -> None:
        try:
            for source in self._sources:
                staged = self._staged(source) if self._is_needed(source) else source
                with self._changed:
                    self._ready.append(staged)
                    self._changed.notify_all()
        except Interrupted:
            log.debug("copying was interrupted")
        except BaseException as error:  # raised again where the slides are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _staged(self, source: SlideSource) -> SlideSource:
        """Return the slide with its copy; the slide as it is where it cannot be copied, or does not fit."""
        if is_remote(source.path):  # such a slide has a copy of its own
            return source
        slot = self._folder / str(uuid4().hex)
        try:
            size = sum(file.stat().st_size for file in slide_files(source.path))
            if not self._wait_for_room(size):
                return _unstaged(source, f"there is no room for its copy in {self._cache}")
            with self._changed:
                self._held[source.stem] = slot
            signature = file_signature(source.path)
            return replace(source, local=self._copy(source.path, slot, signature), copied_signature=signature)
        except OSError as error:
            self.release(source.stem)
            return _unstaged(source, f"was not staged ({error})")

    def _wait_for_room(self, size: int) -> bool:
        """Wait until one more copy may be made; return False where it can never be."""
        with self._changed:
            while not self._closed:
                fits = _free(self._folder) >= size
                if fits and len(self._held) < self._most:
                    return True
                if not self._held:
                    return False
                self._changed.wait(None if fits else SECONDS_BETWEEN_LOOKS)
        raise Interrupted

    def _copy(self, path: Path, slot: Path, signature: str) -> Path:
        """Copy every file of a slide, and return where it lies. Raises OSError, also when it changed meanwhile."""
        for file in slide_files(path):
            target = slot / file.relative_to(path.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._copy_file(file, target)
        if file_signature(path) != signature:
            raise OSError("it changed while it was copied")
        return slot / path.name

    def _copy_file(self, file: Path, target: Path) -> None:
        with file.open("rb") as source, target.open("xb") as copy:
            while block := source.read(CHUNK):
                if self._closed:
                    raise Interrupted
                copy.write(block)


def _unstaged(source: SlideSource, why: str) -> SlideSource:
    return replace(source, notes=(*source.notes, f"{why}; it is read where it lies"))


def _free(folder: Path) -> int:
    """Return the bytes that copies may take."""
    disk = shutil.disk_usage(folder)
    return disk.free - min(LEAST_FREE, disk.total // 20)

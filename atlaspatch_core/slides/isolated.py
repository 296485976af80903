"""A slide that is read by a process of its own: a library that crashes costs this slide, and nothing else."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import KilledReader
from atlaspatch_core.isolation.leases import lend_process, return_process, run_isolated
from atlaspatch_core.isolation.process import IsolatedProcess, ProcessDied
from atlaspatch_core.isolation.server import held, hold, let_go
from atlaspatch_core.slides.slide import Region, Slide, SlideInfo

log = logging.getLogger(__name__)

Result = TypeVar("Result")

OPENED, READ, CLOSED = "while it was opened", "while its pixels were read", "while it was closed"
"""What a process did when it died."""


@final
class IsolatedSlide(Slide):
    """An open slide of another process, which is lent to it alone."""

    def __init__(self, process: IsolatedProcess, number: int, info: SlideInfo) -> None:
        self._process, self._number, self._info = process, number, info
        self._is_open = True
        self.held = ExitStack()
        """What is let go of once the slide is closed."""
        self.crash: KilledReader | None = None
        """What to say of the end of its process."""

    @property
    def info(self) -> SlideInfo:
        """What is known of the slide."""
        return self._info

    @property
    def process(self) -> IsolatedProcess:
        """The process that reads it."""
        return self._process

    def read_region(self, region: Region) -> NDArray[np.uint8]:
        """Return RGB pixels, as ``Slide`` promises. Raises UnreadableSlide, and KilledReader once it crashed."""
        return self.call(_read_region, region)

    def call(self, function: Callable[..., Result], *arguments: Any, doing: str = READ) -> Result:
        """Return what a function makes there of the number of the slide. Raises KilledReader once it crashed."""
        return self.result(self.ask(function, *arguments), doing)

    def ask(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Return what ``call`` will; ``result`` waits for it."""
        if self.crash:
            raise self.crash
        try:
            return self._process.ask(function, self._number, *arguments)
        except ProcessDied as death:
            raise self._crashed(death, READ) from death

    def result(self, answer: Future[Result], doing: str = READ) -> Result:
        """Return what was asked for, or raise what it raised. Raises KilledReader where it crashed."""
        try:
            return answer.result()
        except ProcessDied as death:
            raise self._crashed(death, doing) from death

    def _crashed(self, death: ProcessDied, doing: str) -> KilledReader:
        self.crash = self.crash or killed_reader(self._info.stem, death, doing)
        return self.crash

    def close(self) -> None:
        """Release the file, and lend the process to the next slide; a crash now spoils nothing that was read."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            if not self.crash:
                self.call(_close, doing=CLOSED)
                self.call(_answer, doing=CLOSED)  # a process that closing it ended is no other slide's fault
        except KilledReader as crash:
            log.warning("%s; what was read of it before is whole", crash)
        finally:
            return_process(self._process)
            self.held.close()


def open_isolated(stem: str, open_here: Callable[..., Slide], *arguments: Any) -> IsolatedSlide:
    """Return the slide that ``open_here``, a function of a module, opens in another process.

    Raises what it raises, and KilledReader for the slide ``stem`` where it crashes.
    """
    process = lend_process()
    try:
        return IsolatedSlide(process, *process.call(_open, open_here, arguments))
    except BaseException as error:  # the process is given back, and what came is raised again
        return_process(process)
        if isinstance(error, ProcessDied):
            raise killed_reader(stem, error, OPENED) from error
        raise


def call_reader(stem: str, doing: str, function: Callable[..., Result], *arguments: Any) -> Result:
    """Return what a function of a module that decodes something of a slide returns, called in a process of its own.

    Raises what it raises, and KilledReader where it crashes.
    """
    try:
        return run_isolated(function, *arguments)
    except ProcessDied as death:
        raise killed_reader(stem, death, doing) from death


def killed_reader(stem: str, death: ProcessDied, doing: str) -> KilledReader:
    """Return what to say of a slide whose process died."""
    return KilledReader(f"{stem}: {death}, {doing}")


def _open(open_here: Callable[..., Slide], arguments: tuple[Any, ...]) -> tuple[int, SlideInfo]:
    slide = open_here(*arguments)
    return hold(slide), slide.info


def _read_region(number: int, region: Region) -> NDArray[np.uint8]:
    return np.ascontiguousarray(held(number).read_region(region))


def _close(number: int) -> None:
    let_go(number).close()


def _answer(_: int) -> None:
    """Do nothing, and so tell that the process is there."""

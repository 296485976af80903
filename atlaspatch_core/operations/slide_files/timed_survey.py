"""Slides looked at in processes of their own: a reader that hangs or crashes costs one slide."""

import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from types import TracebackType
from typing import Self, final

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.operations.slide_files.surveyed import SurveyedSlide, SurveyState, surveyed

SECONDS = 60.0
"""How long a slide may take. Opening one and reading a corner takes a second, or some from a slow network drive."""
SECONDS_TO_START = 120.0
"""How long a process may take to begin: it imports the readers."""


@final
class SurveyProcess:
    """A process that looks at one slide after the other. Owns it; started when it is first needed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def survey(self, source: SlideSource, slides: Slides) -> SurveyedSlide:
        """Return what opening a slide gives; where it takes too long or ends the process, that is what it gives."""
        connection = self._connection or self._start()
        try:
            connection.send((source, slides))
            if connection.poll(self._seconds):
                return connection.recv()
        except (EOFError, OSError):
            code = self.close()
            return given_up(source, f"its reader ended the process that looked at it (exit code {code})")
        self.close()
        return given_up(source, f"looking at it took longer than {self._seconds:g} s")

    def close(self) -> int | None:
        """End the process, whatever it does; return its exit code."""
        process, self._process, self._connection = self._process, None, None
        if process is None:
            return None
        process.join(0.1)  # where it has ended by itself, its own code counts
        process.kill()
        process.join(1)
        return process.exitcode

    def _start(self) -> Connection:
        context = get_context("spawn")
        here, there = context.Pipe()
        self._process = context.Process(target=answer, args=(there,), name="survey", daemon=True)
        self._process.start()
        there.close()
        if here.poll(SECONDS_TO_START):
            here.recv()  # it has begun
        self._connection = here
        return here


@final
class SurveyPool:
    """Processes that share slides. Safe from several threads; a context manager that ends them."""

    def __init__(self, processes: int, seconds: float) -> None:
        self._processes = [SurveyProcess(seconds) for _ in range(processes)]
        self._idle: SimpleQueue[SurveyProcess] = SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    def survey(self, source: SlideSource, slides: Slides) -> SurveyedSlide:
        """Return what a process that is idle finds."""
        process = self._idle.get()
        try:
            return process.survey(source, slides)
        finally:
            self._idle.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.close()


def given_up(source: SlideSource, why: str) -> SurveyedSlide:
    """Return a slide that nobody could look at to the end."""
    remark = f"{why}, so that it was given up; see what `atlaspatch inspect` says of it alone, or copy it again"
    return SurveyedSlide(source.stem, source.path, SurveyState.REFUSED, None, (remark,))


def answer(connection: Connection) -> None:
    """Look at every slide that is asked for, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts the command ends this process, too
    connection.send(None)
    while True:
        try:
            source, slides = connection.recv()
        except EOFError:
            return
        connection.send(surveyed(source, slides))

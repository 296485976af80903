"""An isolated process, as the process sees it that started it."""

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from mmap import mmap
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import Any, TypeVar, final
from weakref import finalize

import numpy as np

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.hidden_names import are_names_hidden, shown_message
from atlaspatch_core.isolation.messages import Answer, Call, unpack_error
from atlaspatch_core.isolation.shared_memory import BlockPlace, map_block, open_shared_memory
from atlaspatch_core.isolation.surroundings import Surroundings, enter
from atlaspatch_core.plugins.in_use import PluginFile

SECONDS_IDLE = 60.0
"""After which an idle process is asked for by nobody, it seems, and is ended."""
START = (
    "import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start.pop('path'); "
    "from atlaspatch_core.isolation.server import run_server; run_server(**start)"
)
"""What it runs. It imports no main module, which may be anything and take long."""

Result = TypeVar("Result")


class ProcessDied(AtlasPatchError):
    """A process ended while it was asked for something; the text says how: ``killed by signal 11, SIGSEGV``."""


@final
class IsolatedProcess:
    """Owns a process that calls functions for this one. Safe from several threads."""

    def __init__(self, files: tuple[PluginFile, ...], on_quiet: Callable[["IsolatedProcess"], None]) -> None:
        """``files`` are executed there first; ``on_quiet`` is called when nothing was asked for a while."""
        self.files, self._surroundings = files, Surroundings.now()
        self._search_path = _search_path()
        self._on_quiet = on_quiet
        self._memory = open_shared_memory()
        finalize(self, os.close, self._memory)  # arrays may be mapped when the process is gone
        self._connection, theirs = Pipe()
        self._process = _start(theirs, self._memory, files, self._surroundings.log_level)
        theirs.close()
        self._answers: dict[int, Future[Any]] = {}
        self._numbers = count()
        self._read: deque[int] = deque()
        """Offsets of blocks that were read, and of which the process is not told yet."""
        self._asking = Lock()
        self._death = ""
        self._thread = Thread(target=self._listen, name="isolated", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Tell whether it can be asked."""
        return not self._death

    def is_as_new(self, files: tuple[PluginFile, ...]) -> bool:
        """Tell whether one that is started now, for these files, would know the same plugins and readers."""
        return (self.files, self._search_path) == (files, _search_path())

    def enter(self, surroundings: Surroundings) -> None:
        """Have it where this process is now. Raises ProcessDied."""
        if surroundings != self._surroundings:
            self.call(enter, surroundings, self._surroundings)
            self._surroundings = surroundings

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Return what a function of a module returns there, or raise what it raises. Raises ProcessDied."""
        return self.ask(function, *arguments).result()

    def ask(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Return the answer to come."""
        answer, number = Future[Any](), next(self._numbers)
        pickled = pickle.dumps((function, arguments))
        with self._asking:
            if self._death:
                raise ProcessDied(self._death)
            self._answers[number] = answer
            call = Call(number, tuple(self._read.popleft() for _ in range(len(self._read))), pickled)
            with suppress(OSError):  # it died: the thread that listens says so
                self._connection.send_bytes(pickle.dumps(call))
        return answer

    def map(self, place: BlockPlace) -> mmap:
        """Return a block of its memory; ``release`` tells that it was read."""
        return map_block(self._memory, place)

    def release(self, offset: int) -> None:
        """Note that a block was read; it is told with the next call. Called by the garbage collector, too."""
        self._read.append(offset)

    def kill(self) -> None:
        """End it, whatever it does: it holds nothing that has to be kept."""
        with suppress(OSError):
            self._process.kill()

    def end(self) -> None:
        """End it, and wait until it is gone."""
        self.kill()
        self._thread.join()

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                while not self._connection.poll(SECONDS_IDLE):
                    self._on_quiet(self)
                self._receive(pickle.loads(self._connection.recv_bytes()))
        death = how_ended(self._process.wait())
        with self._asking:
            self._death = death
            self._connection.close()
        for answer in self._answers.values():
            answer.set_exception(ProcessDied(death))

    def _receive(self, message: Answer | logging.LogRecord) -> None:
        if isinstance(message, logging.LogRecord):
            logger = logging.getLogger(message.name)
            if message.name == "py.warnings":
                if not are_names_hidden():  # a warning may quote a slide
                    warnings.showwarning(message.getMessage(), UserWarning, message.pathname, message.lineno)
            elif logger.isEnabledFor(message.levelno):
                message.msg, message.args = shown_message(message), ()
                logger.handle(message)
            return
        with self._asking:
            answer = self._answers.pop(message.number)
        try:
            if message.is_error:
                answer.set_exception(unpack_error(message.result))
            else:
                answer.set_result(
                    pickle.loads(message.result, buffers=[self._buffer(buffer) for buffer in message.buffers])
                )
        except Exception as error:  # of what cannot be read back
            answer.set_exception(error)

    def _buffer(self, buffer: BlockPlace | bytes) -> Any:
        """Return the memory of an array, which comes back when the array and all its views are gone."""
        if isinstance(buffer, bytes):
            return bytearray(buffer)  # arrays can be written, as those of this process
        array = np.frombuffer(self.map(buffer), np.uint8, buffer.byte_count)
        finalize(array, self.release, buffer.offset).atexit = False
        return array


def _start(
    connection: Connection, memory: int, files: tuple[PluginFile, ...], log_level: int
) -> subprocess.Popen[bytes]:
    start = {
        "path": _search_path(),
        "connection": connection.fileno(),
        "memory": memory,
        "log_level": log_level,
        "files": [file.path for file in files],
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-c", START, json.dumps(start)],
        stdin=subprocess.DEVNULL,
        pass_fds=(connection.fileno(), memory),
        start_new_session=True,  # Ctrl-C is for the command, which ends this process
    )


def _search_path() -> list[str]:
    """Return where modules are looked for; an installed package may bring readers."""
    return [path for path in sys.path if isinstance(path, str)]


def how_ended(code: int) -> str:
    """Return how a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"killed by signal {-code}, {signal.Signals(-code).name}"
    return f"killed by signal {-code}"

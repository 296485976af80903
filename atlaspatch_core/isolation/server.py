"""What an isolated process does: it calls what it is asked to, each call in a thread, and tells what came of it."""

import logging
import os
import pickle
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NoReturn

from atlaspatch_core.isolation.messages import Answer, Call, pack, pack_error
from atlaspatch_core.isolation.shared_memory import BlockAllocator, BlockPlace, SharedBlock, SpareBlocks
from atlaspatch_core.plugins.in_use import use_plugins
from atlaspatch_core.plugins.loading import file_plugin

MOST_CALLS = 64
"""That are under way at once."""

log = logging.getLogger(__name__)
_server: "CallServer | None" = None
_held: dict[int, Any] = {}
_numbers = count()


def is_isolated() -> bool:
    """Tell whether this process was started to do what may crash."""
    return _server is not None


def hold(value: Any) -> int:
    """Keep a value of this process, and return the number by which later calls name it."""
    number = next(_numbers)
    _held[number] = value
    return number


def held(number: int) -> Any:
    """Return what is kept under a number."""
    return _held[number]


def let_go(number: int) -> Any:
    """Return what was kept under a number, and keep it no more."""
    return _held.pop(number)


def shared_block(byte_count: int, spare: SpareBlocks) -> SharedBlock:
    """Return memory that the other process sees, to be lent to it."""
    return _running().allocate(byte_count, spare)


def release_block(block: SharedBlock) -> None:
    """Take back memory that was not lent."""
    _running().release(block)


def close_spare(spare: SpareBlocks) -> None:
    """Give back blocks that nobody will write again."""
    _running().close_spare(spare)


class CallServer:
    """Owns the connection, the shared memory and the threads."""

    def __init__(self, connection: Connection, memory: int) -> None:
        self._connection = connection
        self._blocks = BlockAllocator(memory)
        self._allocating = Lock()
        self._threads = ThreadPoolExecutor(MOST_CALLS, "calls")
        self._outgoing: SimpleQueue[Any] = SimpleQueue()

    def serve_calls(self) -> NoReturn:
        """Do what is asked for, until nobody asks any more.

        The main thread sends: a signal that ends the process does so there, so that no answer leaves after it.
        """
        Thread(target=self._receive_calls, name="receive", daemon=True).start()
        while True:
            data = pickle.dumps(self._outgoing.get())
            with suppress(OSError):  # nobody listens any more, and the other thread ends this process
                self._connection.send_bytes(data)

    def _receive_calls(self) -> NoReturn:
        while True:
            try:
                call: Call = pickle.loads(self._connection.recv_bytes())
            except (EOFError, OSError):
                os._exit(0)  # whatever a library still does: nobody waits for it
            with self._allocating:
                for offset in call.released:
                    self._blocks.release(offset)
            self._threads.submit(self._answer, call)

    def allocate(self, byte_count: int, spare: SpareBlocks | None = None) -> SharedBlock:
        """Return a block of the shared memory."""
        with self._allocating:
            return self._blocks.allocate(byte_count, spare)

    def release(self, block: SharedBlock) -> None:
        """Take back a block."""
        with self._allocating:
            self._blocks.release(block.place.offset)

    def close_spare(self, spare: SpareBlocks) -> None:
        """Give back spare blocks."""
        with self._allocating:
            self._blocks.close_spare(spare)

    def send(self, message: Any) -> None:
        """Send a message soon; where nobody listens, it is lost."""
        self._outgoing.put(message)

    def _answer(self, call: Call) -> None:
        try:
            function, arguments = pickle.loads(call.function)
            answer = Answer(call.number, *pack(function(*arguments), self._share))
        except BaseException as error:  # raised again where it was called from
            answer = Answer(call.number, pack_error(error), is_error=True)
        self.send(answer)

    def _share(self, buffer: memoryview) -> BlockPlace:
        block = self.allocate(buffer.nbytes)
        block.memory[: buffer.nbytes] = buffer
        return block.place


class RecordSender(QueueHandler):
    """Sends log records to the process that asked, which writes them."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a record."""
        self._send(record)


def run_server(connection: int, memory: int, log_level: int, files: Sequence[str]) -> NoReturn:
    """Be an isolated process, with these plugin files executed before the first call."""
    global _server
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts the command ends this process, too
    _server = CallServer(Connection(connection), memory)
    logging.captureWarnings(True)
    logging.getLogger().addHandler(RecordSender(_server.send))
    logging.getLogger("atlaspatch_core").setLevel(log_level)
    use_plugins(filter(_can_be_executed, map(Path, files)))
    _server.serve_calls()


def _running() -> CallServer:
    assert _server is not None
    return _server


def _can_be_executed(path: Path) -> bool:
    """Execute a plugin file; what it cannot be executed for was said where it was first."""
    try:
        file_plugin(path)
    except BaseException as error:  # foreign code raises anything, and readers work without it
        log.debug("%s: %r", path, error)
        return False
    return True

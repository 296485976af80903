"""A real Redis server, which a test starts for itself, kills and starts again."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from server import free_port
from waiting import until


@dataclass(slots=True)
class RedisServer:
    """A server that keeps what it has in a file, as ours is to be set up."""

    words: Sequence[str]
    port: int
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it with what it had, and wait until it answers."""
        import redis

        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL)
        with redis.Redis(port=self.port) as client:
            until("Redis answers", lambda: _answers(client))

    def kill(self) -> None:
        """Kill it, as a power cut of its machine or the kernel does it."""
        if self.process:
            self.process.kill()
            self.process.wait()


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Start a server on a free port; skip where there is none."""
    pytest.importorskip("redis", reason="pip install 'atlaspatch[celery]' for this test")
    if (program := shutil.which("redis-server")) is None:
        pytest.skip("no Redis server is installed: apt-get install redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="atlaspatch-redis-") as folder:
        where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        server = RedisServer([program, *where, "--save", "", "--appendonly", "yes"], port)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _answers(client) -> bool:
    import redis

    try:
        return client.ping()
    except redis.ConnectionError:  # also while it loads what it had
        return False

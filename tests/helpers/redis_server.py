"""A real Redis server, which a test starts for itself."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from server import free_port
from waiting import until


@contextmanager
def redis_server() -> Iterator[str]:
    """Start a server on a free port, and give its URL; skip where there is none."""
    redis = pytest.importorskip("redis", reason="pip install 'atlaspatch[celery]' for this test")
    if (program := shutil.which("redis-server")) is None:
        pytest.skip("no Redis server is installed: apt-get install redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="atlaspatch-redis-") as folder:
        words = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server, redis.Redis(port=port) as client:
            try:
                until("Redis answers", lambda: _answers(client))
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                server.terminate()


def _answers(client) -> bool:
    import redis

    try:
        return client.ping()
    except redis.ConnectionError:
        return False

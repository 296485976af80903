"""Fixtures of tests of object stores."""

from collections.abc import Iterator

import pytest
from bucket import Bucket, Faults, running_bucket, use_bucket


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    """A server with one bucket."""
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(server, monkeypatch) -> Iterator[Bucket]:
    """An empty bucket that this process and its children find, without faults."""
    use_bucket(server, monkeypatch)
    server.clear()
    vars(server.faults).update(vars(Faults()))
    yield server
    vars(server.faults).update(vars(Faults()))

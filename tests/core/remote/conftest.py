"""Fixtures of tests of object stores."""

from collections.abc import Iterator

import pytest
from bucket import Bucket, Faults, running_bucket, use_bucket

from atlaspatch_core.isolation.leases import end_processes
from atlaspatch_core.remote.store import open_store


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    """A server with one bucket that this process and its children find: those that read slides serve all tests."""
    with running_bucket() as bucket, pytest.MonkeyPatch.context() as patch:
        use_bucket(bucket, patch)
        yield bucket
    end_processes()


@pytest.fixture
def bucket(server) -> Iterator[Bucket]:
    """The bucket, empty and without faults."""
    open_store.cache_clear()
    server.clear()
    vars(server.faults).update(vars(Faults()))
    yield server
    vars(server.faults).update(vars(Faults()))

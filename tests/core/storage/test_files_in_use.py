"""A result file that another program has open: it is waited for, and nobody is told to throw it away."""

import logging
from pathlib import Path

import pytest
from kept_results import COORDS_A, COORDS_B, keep_coords, keep_features
from processes import Child, start_code

from atlaspatch_core.errors import OutputInUse, UnreadableOutput
from atlaspatch_core.storage import disk
from atlaspatch_core.storage.hdf5 import read_stored_results
from atlaspatch_core.storage.store import Store

HOLD = """
import h5py, sys, time
with h5py.File(sys.argv[1], "r+"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2])) if len(sys.argv) > 2 else sys.stdin.readline()
"""


def hold(path: Path, *seconds: float) -> Child:
    """Return a process that has the file open to write, for some seconds or until it is told a line."""
    holder = start_code(HOLD, path, *seconds)
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    keep_features(store, "one", 1.0)
    return store


def test_a_file_that_is_released_in_time_is_read(store, caplog):
    holder = hold(store.h5("a"), 1.0)
    with caplog.at_level(logging.WARNING):
        assert set(read_stored_results(store.h5("a"))) == {"coords", "features/one"}
    assert [record.message.split(" is ")[-1] for record in caplog.records] == ["waited for, at most 10 s"]
    assert holder.wait() == 0


@pytest.mark.parametrize("way", ["read", "add", "replace"])
def test_a_file_in_use_is_left_as_it_is_and_nothing_destructive_is_advised(store, monkeypatch, way):
    monkeypatch.setattr(disk, "SECONDS_IN_USE", 0.3)
    path = store.h5("a")
    holder, before = hold(path), path.read_bytes()
    ways = {
        "read": lambda: store.stored_results("a"),
        "add": lambda: keep_features(store, "two", 2.0),
        "replace": lambda: keep_coords(store, COORDS_B),
    }
    try:
        with pytest.raises(OutputInUse) as told:
            ways[way]()
    finally:
        left = path.read_bytes()
        holder.stdin.write("\n")
        holder.stdin.flush()
        holder.wait()
    assert str(told.value) == f"a: {path} is in use by another program; try again"
    assert left == before
    assert list(path.parent.iterdir()) == [path]
    assert set(store.stored_results("a")) == {"coords", "features/one"}


def test_a_damaged_file_is_damaged_and_not_in_use(store):
    store.h5("a").write_bytes(b"no HDF5")
    with pytest.raises(UnreadableOutput, match="cannot be read as HDF5") as told:
        store.stored_results("a")
    assert not isinstance(told.value, OutputInUse)

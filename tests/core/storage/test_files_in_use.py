"""A result file that another program has open: it is waited for, and nobody is told to throw it away."""

import fcntl
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_results import COORDS_A, COORDS_B, keep_coords, keep_features
from processes import Child, start_code
from rounds import examples
from waiting import SECONDS, until

from atlaspatch_core.errors import OutputInUse, UnreadableOutput
from atlaspatch_core.storage import disk
from atlaspatch_core.storage.hdf5 import read_stored_results
from atlaspatch_core.storage.store import Store

HOLD = """
import h5py, sys
with h5py.File(sys.argv[1], "r+"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold(path: Path) -> Child:
    """Return a process that has the file open to write until it is let go."""
    holder = start_code(HOLD, path)
    assert holder.stdout.readline() == "held\n"
    return holder


def let_go(holder: Child) -> None:
    holder.stdin.write("\n")
    holder.stdin.flush()
    holder.wait()


WAYS = {
    "read": lambda store, stem, geometry: store.stored_results(stem, geometry),
    "add": lambda store, stem, geometry: keep_features(store, "third", 2.0, stem=stem, geometry=geometry),
    "replace": lambda store, stem, geometry: keep_coords(store, COORDS_B, stem=stem, geometry=geometry),
}


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    keep_features(store, "one", 1.0)
    return store


def test_a_file_that_is_released_in_time_is_read(store, caplog, monkeypatch):
    monkeypatch.setattr(disk, "SECONDS_IN_USE", SECONDS)
    holder = hold(store.h5("a"))

    def let_go_once_waited_for() -> None:
        until("somebody says that it waits", lambda: caplog.records)
        let_go(holder)

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(1) as pool:
        releasing = pool.submit(let_go_once_waited_for)
        assert set(read_stored_results(store.h5("a"))) == {"coords", "features/one"}
    releasing.result()
    assert [record.message.split(" is ")[-1] for record in caplog.records] == [f"waited for, at most {SECONDS:.0f} s"]


@pytest.mark.parametrize("way", ["read", "add", "replace"])
def test_a_file_in_use_is_left_as_it_is_and_nothing_destructive_is_advised(store, monkeypatch, way):
    monkeypatch.setattr(disk, "SECONDS_IN_USE", 0.3)
    path = store.h5("a")
    holder, before = hold(path), path.read_bytes()
    try:
        with pytest.raises(OutputInUse) as told:
            WAYS[way](store, "a", "")
    finally:
        left = path.read_bytes()
        let_go(holder)
    assert str(told.value) == f"a: {path} is in use by another program; try again"
    assert left == before
    assert list(path.parent.iterdir()) == [path]
    assert set(store.stored_results("a")) == {"coords", "features/one"}


@examples(30)
@given(
    before=st.lists(st.sampled_from(["one", "two"]), unique=True),
    way=st.sampled_from(sorted(WAYS)),
    stem=st.sampled_from(["a", "TCGA-01.svs", "é b"]),
    geometry=st.sampled_from(["", "20x"]),
)
def test_the_sentence_about_a_file_in_use_names_it_and_destroys_nothing(
    tmp_path_factory, before: list[str], way: str, stem: str, geometry: str
):
    """Slide, file, cause and a cure; the file is to the byte what it was, and the same works once it is free.

    HDF5 holds a file by ``flock``, as is done here without a process of its own.
    """
    store = Store(tmp_path_factory.mktemp("out"))
    keep_coords(store, COORDS_A, stem=stem, geometry=geometry)
    for encoder in before:
        keep_features(store, encoder, 1.0, stem=stem, geometry=geometry)
    path = store.h5(stem, geometry)
    content = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "SECONDS_IN_USE", 0.0)
        with path.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(OutputInUse) as refusal:
                WAYS[way](store, stem, geometry)
    assert path.read_bytes() == content
    assert str(refusal.value) == f"{stem}: {path} is in use by another program; try again"
    WAYS[way](store, stem, geometry)


def test_a_damaged_file_is_damaged_and_not_in_use(store):
    store.h5("a").write_bytes(b"no HDF5")
    with pytest.raises(UnreadableOutput, match="cannot be read as HDF5") as told:
        store.stored_results("a")
    assert not isinstance(told.value, OutputInUse)

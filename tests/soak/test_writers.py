"""Processes that write into one file, some of them killed, with a reader beside them: all that is seen is whole."""

import time
from pathlib import Path

import numpy as np
import pytest
from kept_results import COORDS_A, keep_coords, keep_features, temporaries
from processes import Child, start_code
from rounds import Chance, soak

from atlaspatch_core.storage.hdf5 import open_hdf5
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store

WRITER = """
import sys
from pathlib import Path
from kept_results import keep_features
from atlaspatch_core.storage.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    keep_features(store, f"{sys.argv[2]}_{number % 3}", float(number))
print("done", flush=True)
"""
WRITERS = ("one", "two", "three")


def check_whole(store: Store) -> set[str]:
    """Assert that each dataset which is there holds the values of one write, and return their names."""
    stored = store.stored_results("a")
    with open_hdf5(store.h5("a")) as file:
        for name in stored.keys() - {COORDS}:
            values = np.asarray(file[name])
            assert values.shape == (3, 4)
            assert len(np.unique(values)) == 1
    return set(stored)


def check_writers(folder: Path, chance: Chance) -> None:
    store = Store(folder)
    keep_coords(store, COORDS_A)
    writers: list[Child] = [start_code(WRITER, folder, name, 40) for name in WRITERS]
    killed = chance.sample(range(len(writers)), chance.randint(0, 2))
    for writer in writers:
        writer.stdout.readline()
    seen = {COORDS}
    while any(writer.poll() is None for writer in writers):
        after = check_whole(store)
        assert after >= seen
        seen = after
        if killed and chance.random() < 0.2:
            writers[killed.pop()].kill()
        time.sleep(chance.uniform(0, 0.05))
    for name, writer in zip(WRITERS, writers, strict=True):
        with writer:
            said, errors = writer.communicate()
        assert errors == ""
        if "done" in said:
            assert {f"features/{name}_{number}" for number in range(3)} <= check_whole(store)
    keep_features(store, "after", 1.0)
    store.remove_half_written([])
    assert temporaries(folder) == []


@pytest.mark.e2e
@pytest.mark.soak
def test_a_reader_beside_writers_that_are_killed_sees_whole_results(tmp_path: Path):
    soak(1, lambda chance: check_writers(tmp_path / str(chance.number), chance))

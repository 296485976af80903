"""Processes that write until the disk is full, or until they are killed."""

import time

import pytest
from kept_results import COORDS_A, all_values, keep_coords, keep_features, temporaries
from processes import start_code
from rounds import ROUNDS

from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store

FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from kept_results import COORDS_A, keep_features
from atlaspatch_core.storage.atomic import replacing
from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.interop.export.files import write_tensor
from atlaspatch_core.storage.store import Store
store = Store(Path(sys.argv[1]))
size = store.h5("a").stat().st_size
for most in (size + 20, size - 20, 20):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        keep_features(store, "two", 2.0)
    except UnwritableOutput as error:
        print(error)
try:
    with replacing(Path(sys.argv[1], "a.pt")) as temporary:
        write_tensor(temporary, {"features": torch.zeros(1000)})
except UnwritableOutput as error:
    print(error)
"""


def test_a_full_disk_is_an_error_like_any_other_and_leaves_what_was_there(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    keep_features(store, "one", 1.0)
    before = all_values(store.h5("a"))
    with start_code(FULL_DISK, tmp_path) as writer:
        printed, errors = writer.communicate()
    assert (writer.returncode, errors) == (0, "")
    assert printed.count("cannot be written (File too large); free space") == 4
    assert all_values(store.h5("a")) == before
    assert temporaries(tmp_path) == []


WRITER = """
import sys
from pathlib import Path
from kept_results import COORDS_A, keep_features
from atlaspatch_core.storage.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(10_000):
    keep_features(store, f"encoder{number % 5}", float(number))
"""


@pytest.mark.soak
def test_a_writer_killed_at_any_moment_leaves_whole_files_and_no_lock(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    for pause in (0.0, 0.013, 0.029, 0.047) * ROUNDS:
        with start_code(WRITER, tmp_path) as writer:
            writer.stdout.readline()
            time.sleep(pause)
            writer.kill()
        assert set(store.stored_results("a")) >= {COORDS}
        keep_features(store, "after", pause)
    store.remove_half_written([])
    assert temporaries(tmp_path) == []

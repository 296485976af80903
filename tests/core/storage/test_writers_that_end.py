"""A process that writes until the disk is full; kills and disks of chance are in tests/soak."""

from kept_results import COORDS_A, all_values, keep_coords, keep_features, temporaries
from processes import start_code

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

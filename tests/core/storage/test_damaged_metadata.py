"""Changed bytes that say how an HDF5 file is laid out: an error, never the end or the standstill of the process."""

from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
from paths import DATA
from rounds import Chance, soak

from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.isolation.leases import run_isolated
from atlaspatch_core.isolation.process import ProcessDied
from atlaspatch_core.storage.disk import writing_hdf5
from atlaspatch_core.storage.hdf5 import open_hdf5
from atlaspatch_core.storage.hdf5_probe import has_checksums_of_metadata, read_metadata

BYTES = 150
"""Changed in a round, one after the other."""
TEXT_HEAPS = b"GCOL"
"""Begin of what holds texts, 4096 bytes: it alone has no checksum in any format, and may keep HDF5 busy for ever."""


def fill(file: h5py.File) -> None:
    """Write what results have: many attributes, texts among them, and datasets that grow."""
    file.attrs.update({f"text_{number}": f"{number}" * 40 for number in range(12)})
    for name in ("coords", "features/a", "features/b"):
        item = file.create_dataset(name, data=np.arange(64.0).reshape(8, 8), chunks=(2, 8), maxshape=(None, 8))
        item.attrs.update({"recipe": "{}" * 50, "mpp": 0.5, "size": np.arange(4)})


def write_ours(path: Path) -> None:
    with writing_hdf5(path) as file:
        fill(file)


def write_as_others(path: Path) -> None:
    with h5py.File(path, "w") as file:
        fill(file)


def layout_bytes(content: bytes) -> list[int]:
    """Return the places of bytes that are neither texts nor among the values, each of which is 2 to 63 as a float64."""
    start = content.find(TEXT_HEAPS)
    texts = range(start, start + 4096) if start >= 0 else range(0)
    return [at for at in range(len(content)) if at not in texts and content[at : at + 1] != b"\0"]


def read_all(path: Path) -> None:
    with open_hdf5(path) as file:
        names = ("coords", "features/a", "features/b")
        for item in (file, *(file[name] for name in names)):
            dict(item.attrs)
        for name in names:
            file[name][()]  # type: ignore[index]


@pytest.mark.soak
@pytest.mark.parametrize("write", [write_ours, write_as_others])
def test_a_changed_byte_of_the_layout_is_an_error_or_harmless(tmp_path, write):
    path = tmp_path / "a.h5"
    write(path)
    content = path.read_bytes()
    places = layout_bytes(content)

    def check(chance: Chance) -> None:
        for at in chance.sample(places, BYTES):
            changed = bytearray(content)
            changed[at] ^= chance.randrange(1, 256)
            path.write_bytes(changed)
            with suppress(UnreadableOutput):
                read_all(path)

    soak(1, check)


def test_a_file_of_others_that_crashes_the_library_is_an_error_that_says_how(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes((DATA / "found" / "hdf5" / "crashes.h5").read_bytes())
    with pytest.raises(ProcessDied):
        run_isolated(read_metadata, str(path))
    with pytest.raises(UnreadableOutput, match=r"a: .* what reads it is killed by signal 11, SIGSEGV\); move it away"):
        read_all(path)
    write_as_others(path)
    read_all(path)


def test_files_that_we_write_have_checksums_of_their_layout_also_when_they_grow(tmp_path):
    path = tmp_path / "a.h5"
    write_ours(path)
    with writing_hdf5(path, "r+") as file:
        file["more"] = 1
    assert has_checksums_of_metadata(path)
    write_as_others(path)
    assert not has_checksums_of_metadata(path)
    path.write_bytes(b"")
    assert not has_checksums_of_metadata(path)


def test_a_process_that_takes_too_long_is_killed_and_the_next_call_is_answered():
    with pytest.raises(ProcessDied, match=r"killed after 0\.5 s without an answer"):
        run_isolated(wait, seconds=0.5)
    assert run_isolated(abs, -1) == 1


def wait() -> None:
    """Take longer than anybody has."""
    import time

    time.sleep(600)

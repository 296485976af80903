"""A dataset that claims more than its file stores is refused before memory is taken for it."""

from pathlib import Path

import h5py
import pytest

from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.errors import UnreadableOutput, UnusableCoords
from atlaspatch_core.layouts.scanning import scan
from atlaspatch_core.layouts.soundness import check_embedding
from atlaspatch_core.layouts.supplied_coords import read_coords
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.storage.hdf5 import read_array

pytestmark = pytest.mark.quick
INFO = SlideInfo("a", Path("a.svs"), "openslide", (Level(1024, 1024, 1.0),), 0.5, "stated", 20, "stated")


def claim(path: Path, name: str, shape: tuple[int, ...], dtype: str) -> Path:
    """Write a few kB with a dataset of which one number is stored."""
    with h5py.File(path, "w") as file:
        chunks = (1024, *shape[1:]) if len(shape) > 1 else (1024,)
        file.create_dataset(name, shape, dtype, chunks=chunks)[0] = 1
        file.attrs.update({"patch_size": 256, "patch_size_level0": 256, "target_magnification": 20})
    return path


@pytest.mark.parametrize("rows", [2**28, 2**40, 2**58])
def test_coords_that_claim_more_than_is_stored_are_refused(tmp_path: Path, rows: int):
    path = claim(tmp_path / "a.h5", "coords", (rows, 2), "i4")
    with pytest.raises(UnreadableOutput, match="bytes and stores"):
        read_array(path, "coords")
    geometry = Geometry(patch_size=256, target_mag=20)
    with pytest.raises(UnusableCoords, match="claims"):
        read_coords(path, INFO, geometry)


def test_features_that_claim_more_than_is_stored_are_refused(tmp_path: Path):
    with h5py.File(claim(tmp_path / "a.h5", "features", (2**32, 8), "f4")) as file:
        with pytest.raises(OSError, match="claims"):
            scan(file["features"])
        with pytest.raises(OSError, match="claims"):
            list(check_embedding(file["features"]))


def test_what_compresses_well_is_read(tmp_path: Path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("features", data=[[0.0] * 64] * 4096, chunks=(4096, 64), compression="gzip")
    assert read_array(tmp_path / "a.h5", "features").shape == (4096, 64)

"""What lies where results are to be written: ours is replaced where that is forced, also damaged; foreign files never.

Through the pipeline and by the store, with any damage.
"""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from kept_results import COORDS_A, keep_coords, keep_features
from painting import paint_slide, stain, white
from prepared import PreparedFolder
from rounds import examples

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick

COORDS = OutputKey("patch_coords")


def project(folder: Path) -> Project:
    values = {"output": folder / "out", "geometry": [{"patch_size": 256, "target_mag": 20}]}
    return make_project(values, origin="test")


def run(folder: Path, *, force: bool) -> Outcome:
    """Return the outcome of the coords."""
    outcomes = process([SlideSource("a", folder / "a.svs")], make_recipe(project(folder)), force=force)
    return {outcome.step: outcome for outcome in outcomes}[COORDS]


def prepare(folder: Path) -> None:
    paint_slide(folder / "a.svs", stain(white(1024, 768), 256, 256, 512, 256), objective_power=20)
    assert run(folder, force=False).status is Status.COMPUTED


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> PreparedFolder:
    return PreparedFolder(tmp_path_factory.mktemp("finished"), prepare)


@st.composite
def damages(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return a file cut short, or with some bytes overwritten."""
    at = draw(st.integers(0, len(whole) - 1))
    if draw(st.booleans()):
        return whole[:at]
    return whole[:at] + draw(st.binary(min_size=1, max_size=400)) + whole[at + 400 :]


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_forcing_replaces_a_damaged_file_of_ours(finished: PreparedFolder, data: st.DataObject):
    folder = finished.path
    path = folder / "out" / "patches" / "a.h5"
    finished.put_back()
    path.write_bytes(data.draw(damages(path.read_bytes())))

    outcome = run(folder, force=False)
    assert "failed unexpectedly" not in outcome.why
    if outcome.status is Status.FAILED and "was not written by atlaspatch" not in outcome.why:
        assert run(folder, force=True).status is Status.COMPUTED
        assert run(folder, force=False).status is Status.REUSED


@pytest.mark.parametrize("size", [0, 4, 8, 100, 2000, 4000])
def test_forcing_replaces_what_is_left_of_a_file(finished: PreparedFolder, size: int):
    folder = finished.put_back()
    path = folder / "out" / "patches" / "a.h5"
    path.write_bytes(path.read_bytes()[:size])
    assert "use --force to replace it" in run(folder, force=False).why
    assert run(folder, force=True).status is Status.COMPUTED


def write_foreign(path: Path, kind: str) -> bytes:
    """Write a file of somebody else, and return its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        if kind != "empty":
            file["coords" if kind == "coords" else "annotations"] = np.zeros((3, 5), np.int32)
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-10], "text": b"no HDF5"}.get(kind, content))
    return path.read_bytes()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["coords", "annotations", "empty", "cut", "text"])
def test_a_foreign_file_is_refused_and_stays(finished: PreparedFolder, kind: str, force: bool):
    folder = finished.put_back()
    (folder / "out" / "slides" / "a.json").unlink()
    path = folder / "out" / "patches" / "a.h5"
    path.unlink()
    content = write_foreign(path, kind)
    outcome = run(folder, force=force)
    assert outcome.status is Status.FAILED
    assert "move it away and run again" in outcome.why
    assert path.read_bytes() == content


def test_a_whole_foreign_file_in_the_place_of_ours_stays(finished: PreparedFolder):
    folder = finished.put_back()
    content = write_foreign(folder / "out" / "patches" / "a.h5", "annotations")
    assert "is not replaced" in run(folder, force=True).why
    assert (folder / "out" / "patches" / "a.h5").read_bytes() == content


def test_damaged_features_are_left_behind_when_coords_are_laid_anew(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    keep_features(store, "one", 1.0)
    keep_features(store, "two", 2.0)
    path = store.h5("a")
    with h5py.File(path) as file:
        two = file["features/two"].id  # pyright: ignore[reportAttributeAccessIssue]
        chunk = two.get_chunk_info(0).byte_offset
    path.write_bytes(path.read_bytes()[:chunk])
    with pytest.raises(UnreadableOutput, match="cannot be read"):
        store.stored_results("a")
    keep_coords(store, COORDS_A)
    assert "coords" in store.stored_results("a")

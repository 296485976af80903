"""Bit rot: whichever byte of a stored file changes, the audit names the file, and a run computes anew what it held.

A whole cohort lies ready: a mask that was made and one that a person drew, features, embeddings, a case, and exports.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import h5py
import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st
from painting import paint_slide, white
from paths import DATA
from plugins import TINY_ENCODER, plugin_file
from prepared import PreparedFolder
from rotting import rot, rot_values
from rounds import examples

from atlaspatch_core.cli.audit import audit
from atlaspatch_core.config.project import make_project
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.interop.audit.findings import AuditFinding, AuditSeverity
from atlaspatch_core.interop.audit.repair import repair
from atlaspatch_core.interop.audit.run import audit_folder
from atlaspatch_core.interop.export.run import export_slides
from atlaspatch_core.layouts.recognise import recognise_folder
from atlaspatch_core.operations.doctor.results import results
from atlaspatch_core.operations.doctor.values import Subject
from atlaspatch_core.pipeline.patients.encoding import encode_cases
from atlaspatch_core.pipeline.patients.manifest import read_manifest
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.hdf5 import datasets_of
from atlaspatch_core.storage.hdf5_changes import Dataset
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.contours import write_geojson
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import Recipe, make_recipe

KEPT = (
    "patches/a.h5",
    "patches/b.h5",
    "patient_features/mean-tiny/p1.h5",
    "slides/a.json",
    "slides/b.json",
    "contours_geojson/a.geojson",
    "contours_geojson/b.geojson",
)
"""Every kind of file that holds results, below ``out``."""
MADE = [name for name in KEPT if name != "contours_geojson/b.geojson"]
"""Those that a run can make again; a person drew the outlines of b."""
EXPORTED = ("trident", "clam")
FEATURES, EMBEDDING = "features/tiny", "slide_features/mean-tiny"


def recipe_of(folder: Path) -> Recipe:
    geometry = {"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": ["mean-tiny"]}
    values = {
        "output": folder / "out",
        "geometry": [geometry],
        "plugins": [plugin_file(TINY_ENCODER)],
        "patients": {"encoders": ["mean-tiny"]},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_recipe(make_project(values, origin="test"))


def run(folder: Path) -> list[Outcome]:
    """Make sure of all slides and of the case."""
    return list(encode_cases(read_manifest(folder / "cases.csv"), recipe_of(folder)))


def run_slides(folder: Path) -> list[Outcome]:
    """Make sure of all slides, with their embeddings."""
    return list(process(read_manifest(folder / "cases.csv").slides.values(), recipe_of(folder)))


def computed(outcomes: list[Outcome]) -> set[str]:
    return {f"{it.stem} {it.step.kind}" for it in outcomes if it.status is Status.COMPUTED}


def prepare(folder: Path) -> None:
    (folder / "slides").mkdir()
    rng = np.random.default_rng(0)
    for stem, width in (("a", 512), ("b", 768)):
        pixels = white(1024, 1024)
        pixels[256:768, 256 : 256 + width] = rng.integers((150, 40, 100), (250, 120, 200), (512, width, 3))
        paint_slide(folder / "slides" / f"{stem}.svs", pixels, objective_power=20)
    (folder / "cases.csv").write_text("case_id,slide_path\np1,slides/a.svs\np1,slides/b.svs\n")
    run_slides(folder)
    write_geojson(folder / "out" / "contours_geojson" / "b.geojson", [shapely.box(200, 200, 800, 600)], "b")
    run_slides(folder)
    run(folder)
    for layout in EXPORTED:
        list(export_slides(recipe_of(folder), layout, folder / layout))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> PreparedFolder:
    return PreparedFolder(tmp_path_factory.mktemp("finished"), prepare)


@contextmanager
def rotten(path: Path, place: float, change: int) -> Iterator[None]:
    """Let a byte of a file be another, at the same time of the file; as it was afterwards."""
    whole, stat = path.read_bytes(), path.stat()
    rot(path, int(place * len(whole)), change)
    try:
        yield
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def means_the_same(path: Path, whole: bytes) -> bool:
    """Tell whether a record says what it said before: of white space another may stand there."""
    try:
        return path.parent.name == "slides" and json.loads(path.read_bytes()) == json.loads(whole)
    except ValueError:
        return False


def problems(folder: Path) -> list[AuditFinding]:
    found = audit_folder(recognise_folder(folder))
    return [it for it in found if it.severity is AuditSeverity.PROBLEM]


def mark(folder: Path) -> list[str]:
    """Do what ``audit --mark-damaged`` does."""
    return list(repair(recognise_folder(folder), problems(folder), mark=True, add=False))


def contents(out: Path) -> dict[str, object]:
    """Return all values in HDF5 files, and the bytes of all other files that are kept."""
    return {name: values_of(out / name) for name in KEPT}


def values_of(path: Path) -> object:
    if path.suffix != ".h5":
        return path.read_bytes()
    with h5py.File(path) as file:
        return {name: item[()].tobytes() for name, item in datasets_of(file).items()}


changes = st.one_of(st.sampled_from([1 << bit for bit in range(8)]), st.integers(1, 255))
places = st.floats(0, 1, exclude_max=True)


@pytest.mark.quick
def test_what_was_just_made_and_exported_has_no_problem(finished: PreparedFolder):
    folder = finished.put_back()
    assert [problems(folder / name) for name in ("out", *EXPORTED)] == [[], [], []]
    notes = [it.kind for it in audit_folder(recognise_folder(folder / "out"))]
    assert notes == []


@pytest.mark.quick
@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(KEPT), place=places, change=changes)
def test_whichever_byte_of_a_kept_file_changes_the_audit_names_it(
    finished: PreparedFolder, name: str, place: float, change: int
):
    path = finished.path / "out" / name
    whole = path.read_bytes()
    with rotten(path, place, change):
        assume(not means_the_same(path, whole))
        found = problems(finished.path / "out")
    assert {it.file for it in found} == {path}
    assert {it.kind for it in found} <= {"damaged", "damaged_outlines", "unreadable"}
    assert {it.slide for it in found} == {path.stem}


@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), place=places, change=changes)
def test_whichever_byte_of_an_exported_file_changes_the_audit_names_it(
    finished: PreparedFolder, data: st.DataObject, place: float, change: int
):
    layout = finished.path / data.draw(st.sampled_from(EXPORTED))
    files = sorted(path for path in layout.rglob("*") if path.suffix in (".h5", ".pt", ".geojson", ".jpg"))
    path = data.draw(st.sampled_from(files))
    with rotten(path, place, change):
        found = [it for it in problems(layout) if it.kind == "damaged_export"]
    assert [it.file for it in found] == [path]


@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(MADE), place=places, change=changes)
def test_what_is_damaged_is_computed_anew_and_nothing_else_changes(
    finished: PreparedFolder, name: str, place: float, change: int
):
    folder = finished.put_back()
    out, before = folder / "out", contents(folder / "out")
    others = {other: (out / other).read_bytes() for other in KEPT if other != name}
    whole = (out / name).read_bytes()
    rot(out / name, int(place * len(whole)), change)
    assume(not means_the_same(out / name, whole))
    assert len(mark(out)) == 1
    outcomes = [*run_slides(folder), *run(folder)]
    assert [it.why for it in outcomes if it.status is Status.FAILED] == []
    assert problems(out) == []
    if name.startswith("slides/"):  # who made the mask is known no more
        assert {other: (out / other).read_bytes() for other in others} == others
        return
    assert contents(out).keys() == before.keys()
    unchanged = {other for other in others if (out / other).read_bytes() == others[other]}
    assert set(others) - unchanged <= ({"slides/a.json"} if name == "contours_geojson/a.geojson" else set())
    after = contents(out)
    assert {other: after[other] for other in (*unchanged, name)} == {
        other: before[other] for other in (*unchanged, name)
    }
    assert computed([*run_slides(folder), *run(folder)]) == set()


@pytest.mark.parametrize(
    ("dataset", "made"),
    [
        ("coords", {"a patch_coords"}),
        ("passports", {"a patch_coords"}),
        (FEATURES, {"a patch_features"}),
        (EMBEDDING, {"a slide_embedding"}),
    ],
)
def test_of_a_file_only_what_is_damaged_is_computed_anew(finished: PreparedFolder, dataset: str, made: set[str]):
    folder = finished.put_back()
    before = contents(folder / "out")
    rot_values(folder / "out" / "patches" / "a.h5", dataset)
    (found,) = problems(folder / "out")
    assert (found.kind, found.slide) == ("damaged", "a")
    assert found.text.startswith(f"{dataset} ")
    assert mark(folder / "out") == ["patches/a.h5: marked as damaged"]
    outcomes = [*run_slides(folder), *run(folder)]
    assert computed(outcomes) == made
    assert {it.why for it in outcomes if it.status is Status.COMPUTED} == {"it was damaged on disk"}
    assert contents(folder / "out") == before


def test_what_is_built_on_is_checked_and_the_next_run_mends_it(finished: PreparedFolder):
    """Features that rotted are no input of an embedding: that fails, they are marked, and both are made."""
    folder = finished.put_back()
    path = folder / "out" / "patches" / "a.h5"
    before = contents(folder / "out")
    rot_values(path, EMBEDDING)
    rot_values(path, FEATURES)
    failed = [it for it in run_slides(folder) if it.status is Status.FAILED]
    (outcome,) = failed
    assert (outcome.stem, outcome.step.kind) == ("a", "slide_embedding")
    assert "features/tiny" in outcome.why
    assert "it was marked as damaged, and the next run computes it anew" in outcome.why
    assert computed(run_slides(folder)) == {"a patch_features", "a slide_embedding"}
    assert contents(folder / "out") == before


def test_coords_that_rotted_are_no_input_of_features(finished: PreparedFolder):
    folder = finished.put_back()
    path = folder / "out" / "patches" / "a.h5"
    before = contents(folder / "out")
    rot_values(path, FEATURES)
    mark(folder / "out")
    rot_values(path, "coords")
    assert any("coords in" in it.why for it in run_slides(folder) if it.status is Status.FAILED)
    assert computed(run_slides(folder)) == {"a patch_coords", "a patch_features"}
    assert contents(folder / "out") == before


def test_an_export_refuses_what_rotted(finished: PreparedFolder):
    folder = finished.put_back()
    rot_values(folder / "out" / "patches" / "a.h5", FEATURES)
    exported = {it.stem: it for it in export_slides(recipe_of(folder), "pt", folder / "pt")}
    assert "has other values than were written" in exported["a"].why
    assert not list((folder / "pt").rglob("a.pt"))
    assert exported["b"].fate.fine


def test_a_dataset_that_is_carried_over_keeps_its_checksum(finished: PreparedFolder):
    """Another result that is written to the file makes no rot sound."""
    folder = finished.put_back()
    path = folder / "out" / "patches" / "a.h5"
    rot_values(path, FEATURES)
    rot_values(path, EMBEDDING)
    (folder / "out" / "patient_features" / "mean-tiny" / "p1.h5").unlink()
    with h5py.File(path) as file:
        stored = file[FEATURES].attrs["sha256"]
    store = Store(folder / "out")
    other = Dataset("features/other", np.ones((4, 2), np.float32), Identity("patch_features", 1, {}, {}))
    coords = store.stored_results("a")["coords"].identity
    assert coords is not None
    store.write_results("a", "", coords, [other])
    store.write_results("a", "", coords, [other])  # which replaces it, and copies the others
    with h5py.File(path) as file:
        assert file[FEATURES].attrs["sha256"] == stored
    assert {it.text.split()[0] for it in problems(folder / "out") if it.kind == "damaged"} == {FEATURES, EMBEDDING}


def test_outlines_that_a_person_saved_are_no_damage(finished: PreparedFolder):
    folder = finished.put_back()
    path = folder / "out" / "contours_geojson" / "a.geojson"
    write_geojson(path, [shapely.box(256, 256, 700, 700)], "a")
    assert [it.kind for it in problems(folder / "out")] == ["outlines_changed"]
    assert "a patch_coords" in computed(run(folder))
    assert problems(folder / "out") == []


def test_outlines_that_a_person_drew_are_never_made_anew(finished: PreparedFolder):
    folder = finished.put_back()
    path = folder / "out" / "contours_geojson" / "b.geojson"
    rot(path, path.read_bytes().index(b"800"), 1)
    content = path.read_bytes()
    assert [it.kind for it in problems(folder / "out")] == ["damaged_outlines"]
    assert mark(folder / "out") == []
    assert path.read_bytes() == content


def test_the_command_marks_and_says_so(finished: PreparedFolder):
    """A sound folder exits with 0; damage with 1, be it marked or not, until it was computed anew."""
    folder = finished.put_back()
    out = folder / "out"
    assert CliRunner().invoke(audit, [str(out)]).exit_code == 0
    rot_values(out / "patches" / "a.h5", FEATURES)
    before = (out / "patches" / "a.h5").read_bytes()
    found = CliRunner().invoke(audit, [str(out)])
    assert found.exit_code == 1
    assert "a: patches/a.h5: features/tiny has other values than were written" in found.output
    assert (out / "patches" / "a.h5").read_bytes() == before
    assert "patches/a.h5: marked as damaged" in CliRunner().invoke(audit, [str(out), "--mark-damaged"]).output
    run_slides(folder)
    assert CliRunner().invoke(audit, [str(out)]).exit_code == 0


def test_what_was_written_before_gets_checksums_on_demand(tmp_path: Path):
    """It is sound without them, and gets those of what lies there; identities stay."""
    copytree(DATA / "written_before" / "output", tmp_path / "out")
    lacking = [it for it in audit_folder(recognise_folder(tmp_path / "out")) if it.kind == "without_checksum"]
    assert len(lacking) == 1
    stored = {path: fingerprints(path) for path in (tmp_path / "out").rglob("*.h5")}
    assert problems(tmp_path / "out") == []
    assert list(repair(recognise_folder(tmp_path / "out"), [], mark=False, add=True))
    assert list(audit_folder(recognise_folder(tmp_path / "out"))) == []
    assert {path: fingerprints(path) for path in stored} == stored
    assert list(repair(recognise_folder(tmp_path / "out"), [], mark=False, add=True)) == []


def fingerprints(path: Path) -> dict[str, object]:
    with h5py.File(path) as file:
        return {name: item.attrs.get("fingerprint") for name, item in datasets_of(file).items()}


def test_doctor_names_damaged_results(finished: PreparedFolder):
    folder = finished.put_back()
    subject = Subject(recipe_of(folder))
    assert [str(it.level) for it in results(subject)] == ["PASS"]
    rot_values(folder / "out" / "patches" / "a.h5", FEATURES)
    (found,) = results(subject)
    assert str(found.level) == "FAIL"
    assert "a.h5: features/tiny has other values than were written" in found.text
    assert "--mark-damaged" in found.cure


def test_a_file_that_crashes_the_library_is_a_finding_and_the_others_are_looked_at(finished: PreparedFolder):
    """A byte of an attribute's type is another one, and the library reads where no memory is."""
    folder = finished.put_back() / "out"
    crashing = folder / "patches" / "crashes.h5"
    crashing.write_bytes((DATA / "found" / "hdf5" / "crashes.h5").read_bytes())
    unreadable = {it.file: it.text for it in problems(folder) if it.kind == "unreadable"}
    assert unreadable.keys() == {crashing}
    assert unreadable[crashing].startswith("cannot be read")

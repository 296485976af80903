"""The audit: every kind of damage is found, sound folders are sound, and nothing below the folder changes."""

import json
import os
import pickle
import re
import socket
from collections.abc import Iterable
from pathlib import Path

import foreign_folders as foreign
import h5py
import numpy as np
import pytest
from foreign_folders import GEOMETRY, lattice, random_features, trident_job
from painting import paint_slide, stain, white
from paths import ROOT
from processes import start_code

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.find import discover
from atlaspatch_core.errors import UnknownLayout
from atlaspatch_core.interop.audit.findings import KINDS, AuditFinding, AuditSeverity
from atlaspatch_core.interop.audit.run import audit_folder
from atlaspatch_core.layouts.found import FolderLayout
from atlaspatch_core.layouts.recognise import recognise_folder
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.recipe import make_recipe


def findings(folder: Path, **options) -> list[AuditFinding]:
    return list(audit_folder(recognise_folder(folder), **options))


def kinds(found: Iterable[AuditFinding], severity: AuditSeverity | None = None) -> list[str]:
    return sorted(it.kind for it in found if severity is None or it.severity is severity)


def problems(folder: Path, **options) -> list[str]:
    return kinds(findings(folder, **options), AuditSeverity.PROBLEM)


def only(found: Iterable[AuditFinding], kind: str) -> AuditFinding:
    (one,) = [it for it in found if it.kind == kind]
    return one


def features_path(job: Path, stem: str = "a") -> Path:
    return job / GEOMETRY / "features_uni_v1" / f"{stem}.h5"


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    every = [folder, *folder.rglob("*")]
    return {
        str(it): (it.read_bytes() if it.is_file() else b"", it.stat().st_mtime_ns, it.stat().st_mode) for it in every
    }


def ours(folder: Path, *stems: str) -> Project:
    """Compute the patches of slides with a tiny network of random weights."""
    import timm
    import torch

    weights = folder / "tiny.pt"
    if not weights.exists():
        torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), weights)
    geometry = {
        "patch_size": 256,
        "target_mag": 20,
        "precision": "float32",
        "patch_encoders": ["timm-test_efficientnet"],
    }
    values = {
        "output": folder / "out",
        "slides": {"folders": [folder / "slides"]},
        "geometry": [geometry],
        "weights": {"timm-test_efficientnet": weights},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    project = make_project(values, origin="test")
    (folder / "slides").mkdir(exist_ok=True)
    for stem in stems:
        pixels = white(1024, 1024)
        pixels[256:512, 256:768] = np.random.default_rng(0).integers((150, 40, 100), (250, 120, 200), (256, 512, 3))
        paint_slide(folder / "slides" / f"{stem}.svs", pixels)
    outcomes = list(process(discover([folder / "slides"]).sources, make_recipe(project)))
    assert {str(it.status) for it in outcomes} == {"computed"}
    return project


# recognising


def test_layouts_are_told_apart(tmp_path):
    trident_job(tmp_path / "trident", "a")
    foreign.atlaspatch_file(tmp_path / "atlaspatch", "a", lattice())
    foreign.clam_coords(tmp_path / "clam", "a", lattice())
    foreign.clam_features(tmp_path / "features", "a", lattice(), random_features(4))
    foreign.clam_features(tmp_path / "by_encoder" / "features_uni_v1", "a", lattice(), random_features(4))
    (tmp_path / "mine").mkdir()
    ours(tmp_path / "mine", "a")

    layouts = {
        name: recognise_folder(tmp_path / name).layout
        for name in ("trident", "atlaspatch", "clam", "features", "by_encoder")
    }

    assert layouts == {
        "trident": FolderLayout.TRIDENT,
        "atlaspatch": FolderLayout.ATLASPATCH,
        "clam": FolderLayout.CLAM,
        "features": FolderLayout.CLAM,
        "by_encoder": FolderLayout.CLAM,
    }
    assert [file.encoder for file in recognise_folder(tmp_path / "by_encoder").files()] == ["uni_v1"]
    assert recognise_folder(tmp_path / "mine" / "out").layout is FolderLayout.OURS
    assert recognise_folder(tmp_path / "trident" / GEOMETRY).outlines.keys() == {"a"}


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(UnknownLayout, match="holds no results"):
        recognise_folder(tmp_path)


# sound folders


def test_a_sound_job_has_no_findings(tmp_path):
    trident_job(tmp_path, "a", "b")
    foreign.trident_embedding(tmp_path, "a", lattice(), random_features(1)[0], "titan")
    assert findings(tmp_path) == []


def test_sound_results_of_ours_have_no_findings_with_or_without_their_project(tmp_path):
    """Sound results of ours have no findings whether held against their project or not."""
    project = ours(tmp_path, "a")
    assert findings(project.output) == []
    slides = discover([tmp_path / "slides"])
    assert findings(project.output, recipe=make_recipe(project), discovery=slides) == []


def test_nothing_below_the_folder_changes_not_even_a_cache(tmp_path):
    project = ours(tmp_path, "a")
    trident_job(tmp_path / "job", "a")
    before = {folder: snapshot(tmp_path / folder) for folder in ("out", "job")}
    for path in [*(tmp_path / "job").rglob("*"), tmp_path / "job"]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before["job"] = snapshot(tmp_path / "job")

    slides = discover([tmp_path / "slides"])
    for folder in ("out", "job"):
        findings(tmp_path / folder, recipe=make_recipe(project), discovery=slides)

    assert {folder: snapshot(tmp_path / folder) for folder in before} == before


def test_a_file_that_another_process_has_open_for_writing_can_be_read(tmp_path):
    trident_job(tmp_path, "a")
    hold = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print(1, flush=True); sys.stdin.read()"
    with start_code(hold, features_path(tmp_path)) as writer:
        writer.stdout.readline()
        assert problems(tmp_path) == []
        writer.communicate()


# damage in one file


def test_a_truncated_file_is_unreadable(tmp_path):
    trident_job(tmp_path, "a")
    path = features_path(tmp_path)
    path.write_bytes(path.read_bytes()[:-400])
    found = only(findings(tmp_path), "unreadable")
    assert found.slide == "a"
    assert "truncated" in found.text


def test_a_file_without_what_its_folder_promises_is_unreadable(tmp_path):
    trident_job(tmp_path, "a")
    with h5py.File(features_path(tmp_path), "w") as file:
        file["other"] = [1]
    assert problems(tmp_path) == ["no_coords", "unreadable"]


def test_rows_that_do_not_match_say_both_counts(tmp_path):
    trident_job(tmp_path, "a")
    foreign.trident_features(tmp_path, "a", lattice(), random_features(3), "uni_v1")
    found = only(findings(tmp_path), "rows")
    assert (found.value, found.bound) == ("3", "4")


def test_features_of_fewer_patches_than_the_coords_beside_them_are_told(tmp_path):
    trident_job(tmp_path, "a")
    foreign.trident_features(tmp_path, "a", lattice()[:3], random_features(3), "uni_v1")
    assert only(findings(tmp_path), "rows").text == "was made from 3 patches, the coords are 4"


def test_features_of_other_patches_than_the_coords_beside_them_are_told(tmp_path):
    trident_job(tmp_path, "a")
    foreign.trident_features(tmp_path, "a", lattice((0, 256, 512, 768)), random_features(4), "uni_v1")
    assert problems(tmp_path) == ["other_coords"]


@pytest.mark.parametrize(
    ("rows", "value", "kind"),
    [
        (slice(1, 2), np.nan, "not_finite"),
        (slice(0, 1), np.inf, "not_finite"),
        (slice(2, None), 0.0, "zero_tail"),
        (slice(1, 2), 0.0, "zero_rows"),
        (slice(0, None), 0.25, "constant"),
    ],
)
def test_values_that_no_network_gives_are_told(tmp_path, rows, value, kind):
    trident_job(tmp_path, "a")
    features = random_features(4)
    features[rows] = value
    foreign.trident_features(tmp_path, "a", lattice()[[0, 2, 1, 3]], features, "uni_v1")
    assert problems(tmp_path) == [kind]


def test_a_constant_or_infinite_embedding_is_told(tmp_path):
    trident_job(tmp_path, "a")
    foreign.trident_embedding(tmp_path, "a", lattice(), np.zeros(8, np.float32), "titan")
    foreign.trident_embedding(tmp_path, "a", lattice(), np.full(8, np.inf, np.float32), "prism")
    assert problems(tmp_path) == ["constant", "not_finite"]


def test_types_of_features_are_told(tmp_path):
    trident_job(tmp_path, "a", "b", "c")
    foreign.trident_features(tmp_path, "a", lattice(), random_features(4).astype(np.float64), "uni_v1")
    foreign.trident_features(tmp_path, "b", lattice(), np.arange(32).reshape(4, 8), "uni_v1")
    assert kinds(findings(tmp_path)) == ["dtype", "mixed_dtypes", "not_float"]


def test_coords_twice_negative_and_beyond_the_slide_are_told(tmp_path):
    trident_job(tmp_path, "a")
    corners = np.array([[0, 0], [0, 0], [-256, 0], [1024, 0], [768, 2048]])
    foreign.trident_coords(tmp_path, "a", corners)
    (tmp_path / GEOMETRY / "features_uni_v1" / "a.h5").unlink()

    found = findings(tmp_path)

    assert kinds(found, AuditSeverity.PROBLEM) == ["negative", "outside", "twice"]
    outside = only(found, "outside")
    assert outside.text == "2 of 5 patches begin beyond the slide: up to x, y = 1024, 2048 of 1024 × 1024 px"
    assert (outside.value, outside.bound) == ("1024 × 2048", "< 1024 × 1024")


def test_a_patch_that_hangs_over_the_edge_is_no_finding(tmp_path):
    trident_job(tmp_path, "a")
    corners = np.array([[1000, 1000]])
    foreign.trident_coords(tmp_path, "a", corners)
    foreign.trident_features(tmp_path, "a", corners, random_features(1), "uni_v1")
    assert findings(tmp_path) == []


def test_slides_without_patches_are_noted_in_every_form_that_trident_writes(tmp_path):
    trident_job(tmp_path, "a")
    foreign.trident_coords(tmp_path, "e", np.zeros((0, 2)))
    foreign.trident_features(tmp_path, "e", np.zeros((0, 2)), np.zeros(0, np.float32), "uni_v1")
    foreign.trident_embedding(tmp_path, "e", np.zeros((0, 2)), np.zeros(0, np.float32), "titan")
    assert kinds(findings(tmp_path)) == ["empty"]


# .pt files


def pt(job: Path, stem: str, write) -> Path:
    path = job / GEOMETRY / "features_uni_v1" / f"{stem}.pt"
    write(path)
    return path


def test_tensors_and_pickled_arrays_are_read(tmp_path):
    import torch

    trident_job(tmp_path, "a", "b")
    pt(tmp_path, "a", lambda path: torch.save(random_features(4), path))
    pt(tmp_path, "b", lambda path: torch.save(torch.from_numpy(random_features(3)), path))
    assert only(findings(tmp_path), "rows").text == "has 3 rows for the 4 coords"


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_tensor_file_is_never_run(tmp_path, zipped):
    import torch

    trident_job(tmp_path, "a")
    bomb = {"features": Bomb(tmp_path / "exploded")}
    pt(tmp_path, "a", lambda path: torch.save(bomb, path) if zipped else path.write_bytes(pickle.dumps(bomb)))

    assert problems(tmp_path) == ["unreadable"]
    assert not (tmp_path / "exploded").exists()


def test_a_truncated_tensor_is_unreadable(tmp_path):
    import torch

    trident_job(tmp_path, "a")
    path = pt(tmp_path, "a", lambda path: torch.save(random_features(400), path))
    path.write_bytes(path.read_bytes()[:2000])
    assert problems(tmp_path) == ["unreadable"]


# files together


def test_a_file_of_another_geometry_than_its_folder_is_told(tmp_path):
    trident_job(tmp_path, "a")
    foreign.trident_coords(tmp_path, "a", lattice()[[0, 2, 1, 3]], patch_size=512, target_magnification=10)
    found = only(findings(tmp_path), "folder_name")
    assert (
        found.text
        == "patch_size is 512, the folder's name says 256; target_magnification is 10, the folder's name says 20"
    )


def test_geometries_mixed_in_one_folder_of_atlaspatch_are_told(tmp_path):
    for stem in ("a", "b"):
        foreign.atlaspatch_file(tmp_path, stem, lattice())
    foreign.atlaspatch_file(tmp_path, "c", lattice(), patch_size=224)
    found = only(findings(tmp_path), "mixed_geometry")
    assert (found.slide, found.value, found.bound) == ("c", "224", "256")


def test_patches_whose_true_scale_is_not_that_of_their_magnification_are_noted(tmp_path):
    foreign.atlaspatch_file(tmp_path, "a", lattice(), mpp=0.4)
    found = only(findings(tmp_path), "true_scale")
    assert found.text == "patches are 0.4 µm/px, their magnification stands for 0.5 µm/px"


def test_embeddings_of_another_dim_are_told(tmp_path):
    trident_job(tmp_path, "a", "b")
    trident_job(tmp_path, "c")
    foreign.trident_features(tmp_path, "c", lattice(), random_features(4, dim=16), "uni_v1")
    found = only(findings(tmp_path), "mixed_dims")
    assert (found.slide, found.text) == ("c", "uni_v1 has 16 dims, others 8")


def test_two_files_of_coords_for_one_stem_are_told(tmp_path):
    trident_job(tmp_path, "a")
    path = foreign.trident_coords(tmp_path, "a", lattice())
    path.with_name("a.h5").write_bytes(path.read_bytes())
    assert problems(tmp_path) == ["stem_clash"]


def test_a_file_of_another_slide_is_told(tmp_path):
    trident_job(tmp_path, "a")
    foreign.trident_coords(tmp_path, "a", lattice(), name="b")
    assert only(findings(tmp_path), "other_name").text == "says that it is of slide b"


def test_features_without_coords_and_coords_without_features(tmp_path):
    trident_job(tmp_path, "a", "b")
    features_path(tmp_path, "a").unlink()
    (tmp_path / GEOMETRY / "patches" / "b_patches.h5").unlink()
    assert {(it.kind, it.slide) for it in findings(tmp_path)} == {("no_features", "a"), ("no_coords", "b")}


def test_half_written_features_of_atlaspatch_are_told(tmp_path):
    foreign.atlaspatch_file(tmp_path, "a", lattice(), {"__tmp_uni_v1": random_features(2)})
    assert problems(tmp_path) == ["half_written"]


# what runs leave behind


def test_locks_and_temporary_files_are_told_and_a_lock_in_use_is_noted(tmp_path):
    trident_job(tmp_path, "a", "b")
    gone = tmp_path / GEOMETRY / "patches" / "a_patches.h5.lock"
    gone.write_text(json.dumps({"pid": 2**22 + 7, "hostname": socket.gethostname(), "created_at": 0}))
    held = tmp_path / GEOMETRY / "features_uni_v1" / "b.h5.lock"
    held.write_text(json.dumps({"pid": os.getpid(), "hostname": socket.gethostname(), "created_at": 0}))
    (tmp_path / GEOMETRY / "patches" / ".a.h5.tmp.0123456789abcdef0123456789abcdef").write_bytes(b"12")

    found = findings(tmp_path)

    assert kinds(found) == ["lock", "lock_held", "temporary"]
    assert only(found, "lock").slide == "a"
    assert "is gone" in only(found, "lock").text
    assert only(found, "lock_held").slide == "b"


def test_a_lock_of_atlaspatch_names_its_process(tmp_path):
    foreign.atlaspatch_file(tmp_path, "a", lattice())
    (tmp_path / "patches" / "a.lock").write_text("pid=4194311,time=1,slide=/x/a.svs,phase=features")
    assert "process 4194311" in only(findings(tmp_path), "lock").text


def test_the_kernel_locks_of_ours_are_no_orphans(tmp_path):
    project = ours(tmp_path, "a")
    assert list((project.output / ".locks").glob("*.lock"))
    assert problems(project.output) == []


def test_settings_that_disagree_with_the_folder_or_between_runs_are_told(tmp_path):
    trident_job(tmp_path, "a")
    foreign.trident_config(tmp_path, patch_size=512, overlap=0, target_magnification=20)
    foreign.trident_run(tmp_path, "aaa", min_tissue_proportion=0.0)
    foreign.trident_run(tmp_path, "bbb", min_tissue_proportion=0.25)
    foreign.trident_run(tmp_path, "ccc", task="seg", segmenter="grandqc")

    texts = {it.text for it in findings(tmp_path) if it.kind == "config"}

    assert texts == {
        "patch_size is 512, the folder's name says 256",
        f"min_tissue_proportion of {GEOMETRY} differs between runs: 0.0 in run aaa, 0.25 in run bbb",
        'segmenter of contours differs between runs: "hest" in run aaa, "grandqc" in run ccc',
    }


def test_different_slides_under_one_name_are_told_and_cached_copies_are_not(tmp_path):
    """Different slides that were worked on under one name are told and cached copies are not."""
    trident_job(tmp_path, "a", "b")
    folder = tmp_path / "wsi_states"
    folder.mkdir()
    states = [
        ("a", "1", "/x/a.svs", 1024),
        ("a", "2", "/y/a.svs", 2048),
        ("b", "3", "/x/b.svs", 9),
        ("b", "4", "/c/b.svs", 9),
    ]
    for stem, number, path, width in states:
        state = {"slide": {"name": stem, "ext": ".svs", "abs_path": path}, "meta": {"dimensions": [width, 9]}}
        (folder / f"{stem}__{number}.json").write_text(json.dumps(state))
    assert [(it.kind, it.slide) for it in findings(tmp_path)] == [("stem_clash", "a")]


# held against slides and a project


def test_slides_tell_sizes_missing_results_clashes_and_copies(tmp_path):
    foreign.clam_coords(tmp_path / "job", "a", np.array([[0, 0], [1024, 0]]))
    foreign.clam_coords(tmp_path / "job", "gone", lattice())
    slides = tmp_path / "slides"
    slides.mkdir()
    paint_slide(slides / "a.svs", white(1024, 1024))
    paint_slide(slides / "b.svs", stain(white(1024, 1024), 0, 0, 99, 99))
    (slides / "copy.svs").write_bytes((slides / "b.svs").read_bytes())
    paint_slide(slides / "b.tif", white(512, 512))

    found = findings(tmp_path / "job", discovery=discover([slides]))

    expected = [
        ("missing", "copy"),
        ("no_slide", "gone"),
        ("outside", "a"),
        ("same_content", "copy"),
        ("stem_clash", "b"),
    ]
    told = sorted((it.kind, it.slide) for it in found if it.kind != "no_features")
    assert told == expected


def test_coords_without_the_size_of_their_slide_are_noted_once_a_folder(tmp_path):
    foreign.clam_coords(tmp_path, "a", lattice())
    foreign.clam_coords(tmp_path, "b", lattice())
    assert kinds(findings(tmp_path)).count("size_unknown") == 1


def test_results_of_another_slide_of_the_same_name_are_told(tmp_path):
    trident_job(tmp_path / "job", "a")
    (tmp_path / "slides").mkdir()
    paint_slide(tmp_path / "slides" / "a.svs", white(512, 1024))
    found = findings(tmp_path / "job", discovery=discover([tmp_path / "slides"]))
    assert kinds(found) == ["other_size", "other_size"]
    assert found[0].text == "says that the slide is 1024 × 1024 px; it is 512 × 1024 px"


def test_outputs_of_ours_are_stale_by_their_fingerprint_and_say_why(tmp_path):
    project = ours(tmp_path, "a")
    changed = project.model_copy(update={"geometry": (project.geometry[0].model_copy(update={"min_tissue": 0.5}),)})
    found = findings(project.output, recipe=make_recipe(changed))
    stale = [it for it in found if it.kind == "stale"]
    assert [it.text for it in stale] == [
        "patch_coords is stale: grid.min_tissue 0.1 → 0.5",
        "patch_features/timm-test_efficientnet is stale: upstream changed: patch_coords",
    ]


def test_what_others_do_not_record_is_named_and_geometries_are_compared(tmp_path):
    """What others do not record is named and geometries are held against the project."""
    project = ours(tmp_path, "a")
    trident_job(tmp_path / "job", "a")
    foreign.trident_coords(
        tmp_path / "job",
        "a",
        lattice(step=512),
        geometry="10x_512px_0px_overlap",
        patch_size=512,
        target_magnification=10,
    )

    found = findings(tmp_path / "job", recipe=make_recipe(project))

    assert "weights" in only(found, "unverifiable").text
    assert only(found, "not_in_project").file.name == "10x_512px_0px_overlap"
    assert kinds(found, AuditSeverity.PROBLEM) == []


def test_every_kind_that_is_used_is_declared():
    sources = (ROOT / "atlaspatch_core" / "interop" / "audit").glob("*.py")
    text = "\n".join(path.read_text() for path in sources)
    used = set(re.findall(r'(?:Finding|\.add|_of|_odd)\(\s*(?:it, |looked, |coords\[\d\], |found, )?"(\w+)"', text))
    assert used <= KINDS.keys()
    assert len(used) > 20

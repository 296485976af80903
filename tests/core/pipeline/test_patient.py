"""Cases: the table that names them, and one embedding from the patches of all their slides."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER, plugin_file

from atlaspatch_core.config.project import load_project, make_project
from atlaspatch_core.encoders.patient import find_patient_encoder
from atlaspatch_core.errors import GeometryMismatch, InvalidManifest, LicenseNotAllowed, UnknownName
from atlaspatch_core.pipeline.patients.encoding import encode_cases
from atlaspatch_core.pipeline.patients.manifest import Case, read_manifest
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Slides a (4 patches), b (2 patches of another colour), an empty one and a broken one."""
    (tmp_path / "slides").mkdir()
    paint_slide(tmp_path / "slides" / "a.svs", stain(white(1024, 1024), 256, 256, 512, 512), objective_power=20)
    other = stain(white(1024, 1024), 256, 256, 512, 256, (90, 40, 160))
    paint_slide(tmp_path / "slides" / "b.svs", other, objective_power=20)
    paint_slide(tmp_path / "slides" / "empty.svs", white(512, 512), objective_power=20)
    (tmp_path / "slides" / "broken.svs").write_bytes(b"no slide")
    return tmp_path


def table(folder: Path, *rows: str, header: str = "case_id,slide_path", name: str = "cases.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def recipe(folder: Path, *encoders: str, **values):
    geometry = {"patch_size": 256, "target_mag": 20, "precision": "float32"} | values.pop("geometry", {})
    base = {
        "output": folder / "out",
        "geometry": [geometry],
        "plugins": [plugin_file(TINY_ENCODER)],
        "patients": {"encoders": encoders or ["mean-tiny"]},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_recipe(make_project(base | values, origin="test"))


def run(folder: Path, manifest: Path, *encoders: str, force: bool = False, **values) -> dict[str, Outcome]:
    """Return the outcomes of the cases by case_id, or by case_id and encoder where there are several encoders."""
    outcomes = encode_cases(read_manifest(manifest), recipe(folder, *encoders, **values), force=force)
    cases = [outcome for outcome in outcomes if outcome.step.kind == "patient_embedding"]
    many = len(encoders) > 1
    return {f"{it.stem} {it.step.encoder}" if many else it.stem: it for it in cases}


def case_file(folder: Path, case_id: str, encoder: str = "mean-tiny") -> Path:
    return folder / "out" / "patient_features" / encoder / f"{case_id}.h5"


def vector(folder: Path, case_id: str) -> np.ndarray:
    with h5py.File(case_file(folder, case_id)) as file:
        return file["features"][()]


def features(folder: Path, stem: str) -> np.ndarray:
    with h5py.File(folder / "out" / "patches" / f"{stem}.h5") as file:
        return file["features/tiny"][()]


# ---- the table -------------------------------------------------------------------------------------------------------


def test_cases_and_slides_keep_the_order_of_the_table_and_a_slide_may_serve_several(folder: Path):
    manifest = read_manifest(
        table(folder, "p2,slides/b.svs", "p1,slides/a.svs", "p2,slides/a.svs", "", "p3,slides/b.svs")
    )
    assert manifest.cases == (Case("p2", ("b", "a")), Case("p1", ("a",)), Case("p3", ("b",)))
    assert [source.path for source in manifest.sources(manifest.cases)] == [
        folder / "slides" / "b.svs",
        folder / "slides" / "a.svs",
    ]


def test_a_stated_mpp_holds_in_every_case_and_an_empty_one_says_nothing(folder: Path):
    rows = ("p1,slides/a.svs,", "p2,slides/a.svs,0.25", "p2,slides/b.svs,")
    slides = read_manifest(table(folder, *rows, header="case_id,slide_path,mpp")).slides
    assert (slides["a"].mpp, slides["a"].mpp_source) == (0.25, "manifest")
    assert (slides["b"].mpp, slides["b"].mpp_source) == (None, "")


def test_the_projects_table_of_mpp_counts_where_the_table_of_cases_is_empty(folder: Path):
    """The table of cases wins, and a slide is found by any name that means it."""
    cases = table(folder, "p1,slides/a.svs,0.25", "p1,slides/b.svs,", header="case_id,slide_path,mpp")
    slides = read_manifest(cases, table(folder, "A,0.7", "B.SVS,0.5", header="wsi,mpp", name="mpp.csv")).slides
    assert [(slides[stem].mpp, slides[stem].mpp_source) for stem in "ab"] == [(0.25, "manifest"), (0.5, "mpp csv")]


def test_absolute_and_home_paths_spaces_semicolons_and_a_bom_are_understood(folder: Path, monkeypatch):
    """Absolute and home paths spaces semicolons and a byte order mark are understood."""
    monkeypatch.setenv("HOME", str(folder))
    path = folder / "cases.csv"
    path.write_bytes(
        f"\ufeffcase_id; slide_path; mpp\r\np 1; {folder}/slides/a.svs; 0,5\r\np 1; ~/slides/b.svs;\r\n".encode()
    )
    manifest = read_manifest(path)
    assert manifest.cases == (Case("p 1", ("a", "b")),)
    assert manifest.slides["a"].mpp == 0.5


MISTAKES = [
    ("case,slide_path", ["p1,slides/a.svs"], r"the column case_id is missing, there are case, slide_path"),
    ("case_id,path", ["p1,slides/a.svs"], r"the column slide_path is missing"),
    ("case_id,slide_path", ["p1,slides/a.svs", ",slides/b.svs"], r"line 3: case_id is empty"),
    ("case_id,slide_path", ["a/b,slides/a.svs"], r"line 2: case_id 'a/b' cannot name a file"),
    ("case_id,slide_path", ["..,slides/a.svs"], r"line 2: case_id '\.\.' cannot name a file"),
    ("case_id,slide_path", ["p1,"], r"line 2: slide_path of case p1 is empty"),
    ("case_id,slide_path", ["p1,slides/none.svs"], r"line 2: slide_path slides/none.svs: there is no .*none.svs"),
    ("case_id,slide_path", ["p1,slides"], r"line 2: slide_path slides is a folder"),
    ("case_id,slide_path,mpp", ["p1,slides/a.svs,fine"], r"line 2: mpp is 'fine'"),
    ("case_id,slide_path,mpp", ["p1,slides/a.svs,0"], r"line 2: mpp is '0'"),
    (
        "case_id,slide_path",
        ["p1,slides/a.svs", "p1,slides/../slides/a.svs"],
        r"line 3: .*a.svs stands twice in case p1",
    ),
    (
        "case_id,slide_path,mpp",
        ["p1,slides/a.svs,0.5", "p2,slides/a.svs,0.25"],
        r"line 3: .*a.svs has mpp 0.25 here and 0.5 in line 2",
    ),
    (
        "case_id,slide_path",
        ["p1,slides/a.svs", "p2,twin/a.svs"],
        r"line 3: .*slides/a.svs \(line 2\) and .*twin/a.svs have one stem, a",
    ),
    ("case_id,slide_path", [], r"names no case"),
]


@pytest.mark.parametrize(("header", "rows", "complaint"), MISTAKES)
def test_a_mistake_in_the_table_is_one_sentence_with_file_line_and_value(folder: Path, header, rows, complaint):
    (folder / "twin").mkdir()
    (folder / "twin" / "a.svs").write_bytes(b"")
    with pytest.raises(InvalidManifest, match=rf"^{folder}/cases.csv[:,] .*{complaint}.*; "):
        read_manifest(table(folder, *rows, header=header))


def test_a_table_that_is_no_text_is_refused(folder: Path):
    (folder / "cases.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidManifest, match="cannot be read as UTF-8"):
        read_manifest(folder / "cases.csv")


# ---- patient encoders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("mean", "mean: say whose features"),
        ("titan", "titan encodes slides, not patients; known: moozy, mean-<patch encoder>"),
        ("nonsense", "no patient encoder is called nonsense; known: moozy"),
        ("mean-nonsense", "no patch encoder is called nonsense"),
    ],
)
def test_a_name_that_is_no_patient_encoder_is_answered_with_those_that_are(name: str, complaint: str):
    with pytest.raises(UnknownName, match=complaint):
        find_patient_encoder(name)


def test_a_patient_encoder_brings_the_patch_encoder_it_needs(folder: Path):
    made = recipe(folder)
    assert [str(stage.step) for stage in made.stages] == ["slide", "tissue_mask", "patch_coords", "patch_features/tiny"]
    assert [str(stage.step) for stage in made.cases] == ["patient_embedding/mean-tiny"]


def test_a_patient_encoder_takes_the_first_geometry_that_suits_it(folder: Path):
    geometry = [
        {"name": "small", "patch_size": 128, "target_mag": 20},
        {"name": "of_moozy", "patch_size": 224, "target_mag": 20},
    ]
    values = {
        "geometry": geometry,
        "plugins": [plugin_file(TINY_ENCODER)],
        "patients": {"encoders": ["moozy", "mean-tiny"]},
    }
    made = make_recipe(make_project(values, origin="test"))
    assert [str(stage.step) for stage in made.cases] == [
        "of_moozy/patient_embedding/moozy",
        "small/patient_embedding/mean-tiny",
    ]
    assert "of_moozy/patch_features/lunit_vit_small_patch8_dino" in {str(stage.step) for stage in made.stages}


def test_a_patient_encoder_that_no_geometry_suits_is_refused(folder: Path):
    with pytest.raises(GeometryMismatch, match=r"patch size 256 px does not suit .*moozy needs 224"):
        recipe(folder, "moozy")


def test_a_licence_that_the_project_does_not_allow_stops_a_patient_encoder(folder: Path):
    with pytest.raises(LicenseNotAllowed, match="moozy"):
        recipe(folder, "moozy", geometry={"patch_size": 224}, allow_licenses=["CC0-1.0", "Apache-2.0"])


def test_the_project_file_names_the_table_from_its_own_folder(tmp_path: Path):
    (tmp_path / "atlaspatch.toml").write_text("[patients]\nmanifest = 'cases.csv'\nencoders = ['mean-uni_v1']\n")
    patients = load_project(tmp_path / "atlaspatch.toml").patients
    assert (patients.manifest, patients.encoders) == (tmp_path / "cases.csv", ("mean-uni_v1",))


# ---- embeddings ------------------------------------------------------------------------------------------------------


def test_the_mean_of_a_case_weighs_every_patch_of_every_slide_the_same(folder: Path):
    manifest = table(folder, "p1,slides/a.svs", "p1,slides/b.svs", "p2,slides/b.svs")
    outcomes = run(folder, manifest)
    assert {case: str(outcome.status) for case, outcome in outcomes.items()} == {"p1": "computed", "p2": "computed"}
    every = np.concatenate([features(folder, "a"), features(folder, "b")])
    assert [len(features(folder, stem)) for stem in "ab"] == [4, 2]
    np.testing.assert_allclose(vector(folder, "p1"), every.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(vector(folder, "p2"), features(folder, "b").mean(axis=0), rtol=1e-6)
    assert outcomes["p1"].numbers["patches"] == 6


def test_the_file_of_a_case_has_the_attributes_that_atlaspatch_readers_look_for(folder: Path):
    manifest = table(folder, "p1,slides/b.svs", "p1,slides/a.svs")
    outcome = run(folder, manifest)["p1"]
    with h5py.File(case_file(folder, "p1")) as file:
        assert (file["features"].dtype, file["features"].shape, file["features"].chunks) == (np.float32, (3,), None)
        said = dict(file.attrs)
        assert file["features"].attrs["fingerprint"] == outcome.fingerprint
        assert len(json.loads(file["features"].attrs["inputs"])) == 2
        assert json.loads(file["features"].attrs["recipe"])["step"] == "patient_embedding"
    paths = [str(folder / "out" / "patches" / f"{stem}.h5") for stem in "ba"]
    assert (said["encoder_name"], said["num_slides"], said["source_patch_encoder"]) == ("mean-tiny", 2, "tiny")
    assert said["source_manifest"] == str(manifest)
    assert json.loads(said["source_slide_h5_paths"]) == paths
    assert json.loads(said["source_slide_patch_summaries"])[1] == {
        "h5_path": paths[1],
        "num_patches": 4,
        "patch_size_level0": 256,
        "patch_size": 256,
        "target_magnification": 20,
        "wsi_path": str(folder / "slides" / "a.svs"),
    }


def test_a_second_run_reuses_every_case_and_changes_no_byte(folder: Path):
    manifest = table(folder, "p1,slides/a.svs", "p1,slides/b.svs")
    run(folder, manifest)
    before = case_file(folder, "p1").read_bytes(), case_file(folder, "p1").stat().st_mtime_ns
    outcome = run(folder, manifest)["p1"]
    assert (outcome.status, outcome.why) == (Status.REUSED, "")
    assert (case_file(folder, "p1").read_bytes(), case_file(folder, "p1").stat().st_mtime_ns) == before


def test_another_slide_in_a_case_makes_it_anew_and_says_which_and_the_others_stay(folder: Path):
    run(folder, table(folder, "p1,slides/a.svs", "p2,slides/b.svs"))
    outcomes = run(folder, table(folder, "p1,slides/a.svs", "p1,slides/b.svs", "p2,slides/b.svs"))
    assert outcomes["p1"].status is Status.COMPUTED
    assert outcomes["p1"].why == "slides a → a b"
    assert outcomes["p2"].status is Status.REUSED


def test_other_patches_make_every_case_anew(folder: Path):
    manifest = table(folder, "p1,slides/a.svs")
    run(folder, manifest)
    outcome = run(folder, manifest, geometry={"step_size": 128})["p1"]
    assert outcome.status is Status.COMPUTED
    assert outcome.why == "upstream changed: patch_features/tiny of a"


def test_force_makes_a_case_anew_even_where_its_file_is_damaged(folder: Path):
    manifest = table(folder, "p1,slides/a.svs")
    run(folder, manifest)
    case_file(folder, "p1").write_bytes(b"damaged")
    failed = run(folder, manifest)["p1"]
    assert failed.status is Status.FAILED
    assert "use --force to replace it" in failed.why
    assert run(folder, manifest, force=True)["p1"].why == "forced"
    assert vector(folder, "p1").shape == (3,)


@pytest.mark.parametrize("force", [False, True])
def test_a_foreign_file_in_the_place_of_a_case_is_refused_and_stays(folder: Path, force: bool):
    manifest = table(folder, "p1,slides/a.svs")
    run(folder, manifest)
    path = case_file(folder, "p1")
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros(3)
    content = path.read_bytes()
    failed = run(folder, manifest, force=force)["p1"]
    assert failed.status is Status.FAILED
    assert "was not written by atlaspatch" in failed.why
    assert path.read_bytes() == content


def test_a_case_with_a_failed_slide_fails_as_a_whole_and_the_others_go_on(folder: Path):
    """A case with a failed slide fails as a whole with every reason and the others go on."""
    (folder / "slides" / "other.svs").symlink_to(folder / "slides" / "broken.svs")
    rows = ("p1,slides/a.svs", "p1,slides/broken.svs", "p1,slides/other.svs", "p2,slides/a.svs")
    outcomes = run(folder, table(folder, *rows))
    assert outcomes["p1"].status is Status.FAILED
    assert [part.partition(":")[0] for part in outcomes["p1"].why.split("; ") if ".svs" in part] == ["broken", "other"]
    assert not case_file(folder, "p1").exists()
    assert outcomes["p2"].status is Status.COMPUTED


def test_a_case_whose_slide_lost_an_attribute_fails_alone(folder: Path):
    """What other software took away from a slide's file costs the cases of that slide, and no other case."""
    run(folder, table(folder, "p1,slides/a.svs", "p2,slides/b.svs"))
    with h5py.File(folder / "out" / "patches" / "b.h5", "r+") as file:
        del file.attrs["patch_size_level0"]
    case_file(folder, "p2").unlink()
    outcomes = run(folder, table(folder, "p2,slides/b.svs", "p3,slides/a.svs"))
    assert outcomes["p2"].status is Status.FAILED
    assert outcomes["p2"].why.startswith("b: ")
    assert "other attributes of the file than were written" in outcomes["p2"].why
    assert not case_file(folder, "p2").exists()
    assert outcomes["p3"].status is Status.COMPUTED


def test_a_case_of_slides_without_patches_has_no_embedding(folder: Path):
    """A slide without patches adds nothing and a case of such slides has no embedding."""
    outcomes = run(folder, table(folder, "p1,slides/empty.svs", "p1,slides/a.svs", "p2,slides/empty.svs"))
    np.testing.assert_allclose(vector(folder, "p1"), features(folder, "a").mean(axis=0), rtol=1e-6)
    assert outcomes["p2"].status is Status.SKIPPED
    assert "no slide of the case has a patch" in outcomes["p2"].why
    assert not case_file(folder, "p2").exists()


def test_the_embedding_of_a_case_that_lost_its_patches_is_taken_away(folder: Path):
    run(folder, table(folder, "p1,slides/a.svs"))
    assert case_file(folder, "p1").exists()
    assert run(folder, table(folder, "p1,slides/empty.svs"))["p1"].status is Status.SKIPPED
    assert not case_file(folder, "p1").exists()


def test_what_a_killed_run_left_half_written_is_swept(folder: Path):
    manifest = table(folder, "p1,slides/a.svs")
    run(folder, manifest)
    orphan = case_file(folder, "p1").with_name(f".p1.{'0' * 32}.tmp")
    orphan.write_bytes(b"half")
    run(folder, manifest)
    assert not orphan.exists()

"""What is exported and what is not: stale results, files of others, a second time, a kill, an output folder alone."""

import json
import os
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner
from exporting import EMBEDDER, ENCODER, exported, make, paint, recipe_of
from prepared import PreparedFolder

from atlaspatch_core.cli.main import cli
from atlaspatch_core.errors import InvalidProject, MissingExtra, NoSlides, UnknownName
from atlaspatch_core.interop.export import (
    LAYOUTS,
    Choice,
    ExportStatus,
    Target,
    export_selected,
    find_layout,
    select_folder,
)
from atlaspatch_core.interop.export.values import Artifact, ExportLayout
from atlaspatch_core.validity.recipe import Recipe

FEATURES = f"features_{ENCODER}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> PreparedFolder:
    def prepare(folder: Path) -> None:
        make(recipe_of(folder), [paint(folder, "a"), paint(folder, "b")])

    return PreparedFolder(tmp_path_factory.mktemp("finished"), prepare)


@pytest.fixture
def lab(finished) -> tuple[Path, Recipe]:
    """A folder with two finished slides, and their recipe."""
    return finished.put_back(), recipe_of(finished.path)


def edit_mask(folder: Path, stem: str) -> None:
    path = folder / "out" / "contours_geojson" / f"{stem}.geojson"
    top = json.loads(path.read_text())
    top["features"][0]["geometry"]["coordinates"] = [[[300, 300], [700, 300], [700, 500], [300, 500], [300, 300]]]
    path.write_text(json.dumps(top))
    os.utime(path, ns=(1, 1))


def snapshot(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file() and not {".locks", ".index"} & set(path.parts)]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_the_command_offers_all_layouts():
    [layout] = [option for option in cli.commands["export"].params if option.name == "layout"]
    assert layout.metavar == f"[{'|'.join(LAYOUTS)}]"  # type: ignore[attr-defined]
    assert tuple(find_layout(name).name for name in LAYOUTS) == LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_second_export_writes_nothing(lab, layout):
    folder, made = lab
    first = exported(made, layout, folder / "to")
    before = snapshot(folder / "to")

    second = exported(made, layout, folder / "to")

    assert {it.fate for it in first.values()} == {ExportStatus.WRITTEN}
    assert {it.fate for it in second.values()} == {ExportStatus.UNCHANGED}
    assert [it.unchanged for it in second.values()] == [it.written for it in first.values()]
    assert snapshot(folder / "to") == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_dry_run_says_what_it_would_write_and_writes_nothing(lab, layout):
    folder, made = lab

    planned = exported(made, layout, folder / "to", dry_run=True)

    assert {it.fate for it in planned.values()} == {ExportStatus.PLANNED}
    assert not (folder / "to").exists()
    assert {stem: it.written for stem, it in exported(made, layout, folder / "to").items()} == {
        stem: it.written for stem, it in planned.items()
    }


def test_what_is_stale_is_refused_with_the_reason_and_exported_when_told_to(lab):
    folder, made = lab
    edit_mask(folder, "a")

    found = exported(made, "pt", folder / "to")

    assert (found["a"].fate, found["b"].fate) == (ExportStatus.REFUSED, ExportStatus.WRITTEN)
    assert found["a"].why.startswith("a: patch_coords is stale (upstream changed: tissue_mask)")
    assert not (folder / "to" / FEATURES / "a.pt").exists()
    assert exported(made, "pt", folder / "to", choice=Choice(include_stale=True))["a"].fate is ExportStatus.WRITTEN


def test_only_what_is_stale_is_refused(lab):
    folder, _ = lab
    changed = recipe_of(folder, geometry={"precision": "bfloat16"})

    found = exported(changed, "trident", folder / "to")["a"]

    assert found.fate is ExportStatus.REFUSED
    assert f"patch_features/{ENCODER} is stale (precision float32 → bfloat16)" in found.why
    assert "20x_256px_0px_overlap/patches/a_patches.h5" in " ".join(map(str, found.written))
    assert not any("features" in str(path) for path in found.written)


def test_outputs_that_were_never_made_are_named(lab):
    folder, _ = lab
    more = recipe_of(folder, geometry={"patch_encoders": ["resnet18"]})

    found = exported(more, "pt", folder / "to")["a"]

    assert (found.fate, found.why) == (ExportStatus.MISSING, "a: never made: patch_features/resnet18")
    assert len(found.written) == 2


def test_files_of_others_and_files_that_were_changed_are_kept_unless_forced(lab):
    folder, made = lab
    theirs, changed = folder / "to" / FEATURES / "a.pt", folder / "to" / FEATURES / "b.pt"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    exported(made, "pt", folder / "to")
    changed.write_bytes(b"changed")

    found = exported(made, "pt", folder / "to")

    assert (theirs.read_bytes(), changed.read_bytes()) == (b"theirs", b"changed")
    assert found["a"].fate is found["b"].fate is ExportStatus.REFUSED
    assert f"{theirs} was not written by this export, or changed since" in found["a"].why
    assert {it.fate for it in exported(made, "pt", folder / "to", force=True).values()} == {ExportStatus.WRITTEN}
    assert len(theirs.read_bytes()) > 1000


def test_a_copy_of_the_folder_without_its_times_is_known_by_its_content(lab):
    folder, made = lab
    exported(made, "pt", folder / "to")
    for path in (folder / "to").rglob("*.pt"):
        os.utime(path, ns=(5, 5))

    assert {it.fate for it in exported(made, "pt", folder / "to").values()} == {ExportStatus.UNCHANGED}


def test_results_computed_anew_take_the_place_of_the_old(lab):
    folder, made = lab
    exported(made, "pt", folder / "to")
    before = (folder / "to" / FEATURES / "a.pt").read_bytes()
    edit_mask(folder, "a")
    from atlaspatch_core.discovery.sources import SlideSource

    make(made, [SlideSource("a", folder / "a.svs")])

    found = exported(made, "pt", folder / "to")

    assert (found["a"].fate, found["b"].fate) == (ExportStatus.WRITTEN, ExportStatus.UNCHANGED)
    assert (folder / "to" / FEATURES / "a.pt").read_bytes() != before


@pytest.mark.parametrize("times", [{"old": 5, "new": 6}, {"old": 5, "new": 5}])
def test_a_kill_between_remembering_and_replacing_leaves_a_file_that_is_still_ours(tmp_path, times):
    """The worst instant: what is remembered is newer than what lies there, and by a coarse clock as old."""
    from atlaspatch_core.interop.export.placement import place_files

    def artifact(text: str) -> Artifact:
        return Artifact(Path("x.txt"), text, lambda to: write(to, text))

    def write(to: Path, text: str) -> None:
        to.write_text(text)
        os.utime(to, ns=(times[text], times[text]))

    place_files(tmp_path, "x", [artifact("old")], force=False, dry_run=False)
    place_files(tmp_path, "x", [artifact("new")], force=False, dry_run=False)
    write(tmp_path / "x.txt", "old")

    (placed,) = place_files(tmp_path, "x", [artifact("new")], force=False, dry_run=False)

    assert placed.fate is ExportStatus.WRITTEN
    assert (tmp_path / "x.txt").read_text() == "new"


def test_a_file_that_fails_leaves_all_files_of_its_slide_as_they_were(tmp_path):
    from atlaspatch_core.interop.export.placement import place_files

    good = Artifact(Path("good.txt"), "1", lambda to: to.write_text("good"))
    bad = Artifact(Path("bad.txt"), "1", lambda to: to.write_text(str(1 / 0)))

    with pytest.raises(ZeroDivisionError):
        place_files(tmp_path, "x", [good, bad], force=False, dry_run=False)

    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_what_a_killed_export_left_half_written_is_swept(lab):
    folder, made = lab
    exported(made, "pt", folder / "to")
    orphan = folder / "to" / FEATURES / f".a.{'0' * 32}.tmp"
    orphan.write_bytes(b"half")

    exported(made, "pt", folder / "to")

    assert not orphan.exists()


def test_a_damaged_file_fails_its_slide_alone(lab):
    folder, made = lab
    (folder / "out" / "patches" / "a.h5").write_bytes(b"no HDF5")

    found = exported(made, "pt", folder / "to")

    assert (found["a"].fate, found["b"].fate) == (ExportStatus.FAILED, ExportStatus.WRITTEN)
    assert "cannot be read as HDF5" in found["a"].why


def test_names_that_are_not_there_and_places_that_cannot_be_are_refused_at_once(lab):
    folder, made = lab
    with pytest.raises(
        UnknownName, match=f"there is no encoder uni_v1 among the results; there is {ENCODER}, {EMBEDDER}"
    ):
        exported(made, "pt", folder / "to", choice=Choice(encoders=frozenset({"uni_v1"})))
    with pytest.raises(UnknownName, match="no geometry far"):
        exported(made, "pt", folder / "to", choice=Choice(geometries=frozenset({"far"})))
    with pytest.raises(UnknownName, match="no layout hipt; choose among trident, clam"):
        exported(made, "hipt", folder / "to")
    with pytest.raises(InvalidProject, match="the results themselves lie there"):
        exported(made, "clam", folder / "out")
    needy = ExportLayout("needy", "", find_layout("pt").artifacts, needs=("no_such_module", "needy"))
    with pytest.raises(MissingExtra, match=r"needs no_such_module, .* pip install 'atlaspatch\[needy\]'"):
        export_selected(select_folder(folder / "out", Choice()), Target(folder / "to", needy))
    assert not (folder / "to").exists()


def test_encoders_are_chosen_by_name(lab):
    folder, made = lab

    exported(made, "pt", folder / "to", choice=Choice(encoders=frozenset({EMBEDDER.upper()})))

    assert sorted(path.name for path in (folder / "to").iterdir() if path.name[0] != ".") == [
        f"slide_features_{EMBEDDER}"
    ]


def fates_of_folder(folder: Path, **choice) -> dict[str, tuple[ExportStatus, str]]:
    target = Target(folder / "to", find_layout("pt"))
    return {
        it.stem: (it.fate, it.why) for it in export_selected(select_folder(folder / "out", Choice(**choice)), target)
    }


def test_an_output_folder_is_exported_without_a_project(lab):
    folder, _ = lab
    assert fates_of_folder(folder) == {"a": (ExportStatus.WRITTEN, ""), "b": (ExportStatus.WRITTEN, "")}


def test_in_a_folder_what_does_not_belong_together_is_stale(lab):
    folder, _ = lab
    edit_mask(folder, "a")
    with h5py.File(folder / "out" / "patches" / "b.h5", "r+") as file:
        file[f"features/{ENCODER}"].attrs["recipe"] = '{"step":"patch_features","version":9,"spec":{}}'

    found = fates_of_folder(folder)

    assert found["a"] == (ExportStatus.REFUSED, "a: patch_coords is stale (upstream changed: tissue_mask)")
    assert found["b"][0] is ExportStatus.REFUSED
    assert f"patch_features/{ENCODER} is unverified (its file does not say what it was computed from)" in found["b"][1]
    assert f"slide_embedding/{EMBEDDER} is stale (upstream changed: patch_features/{ENCODER})" in found["b"][1]
    with pytest.raises(NoSlides, match="give the --output of encode-slide"):
        select_folder(folder / "nowhere", Choice())


def run(*arguments: object):
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


def test_the_command_says_what_became_of_every_slide(lab):
    folder, _ = lab
    source = ("--output", folder / "out", "--to", folder / "to")

    first = run("--layout", "trident", *source, "-v")
    again = run("--layout", "trident", *source)
    edit_mask(folder, "a")
    stale = run("--layout", "trident", *source)

    assert (first.exit_code, again.exit_code, stale.exit_code) == (0, 0, 1)
    assert "a: 7 files written" in first.output
    assert str(folder / "to" / "20x_256px_0px_overlap" / "patches" / "a_patches.h5") in first.output
    assert again.output.splitlines() == [
        "a: 7 files unchanged",
        "b: 7 files unchanged",
        f"2 slides: 2 unchanged; trident in {folder / 'to'}",
    ]
    assert "a: REFUSED: patch_coords is stale (upstream changed: tissue_mask)" in stale.output


def test_the_command_works_on_a_project_file_and_on_named_slides(lab):
    folder, _ = lab
    file = folder / "atlaspatch.toml"
    file.write_text(
        'output = "out"\n[tissue]\nmin_tissue_um2 = 1000.0\n[[geometry]]\npatch_size = 256\ntarget_mag = 20\n'
        f'precision = "float32"\nslide_encoders = ["{EMBEDDER}"]\n'
    )

    made = run("--layout", "pt", "--project", file, "--to", folder / "to", "--slides", "b", "--encoders", ENCODER)
    unknown = run("--layout", "pt", "--project", file, "--to", folder / "to", "--slides", "zebra")

    assert (made.exit_code, unknown.exit_code) == (0, 1)
    assert "b: 1 file written" in made.output
    assert "zebra: FAILED: nothing was made of such a slide in" in unknown.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--layout", "pt", "--column", "3"], "--column is for --layout geojson only"),
        (["--layout", "clam", "--pt"], "--pt is for --layout trident only"),
        (["--layout", "pt", "--project", "x.toml"], "either --project or --output"),
        (["--layout", "pt", "--encoders", "uni_v1"], "there is no encoder uni_v1 among the results"),
        (["--layout", "pt", "--geometry", "far"], "there is no geometry far among the results"),
        (["--layout", "geojson", "--column", "-3"], "column '-3': give"),
        (["--layout", "hipt"], "there is no layout hipt; choose among trident"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(lab, arguments, told):
    folder, _ = lab
    result = run(*arguments, "--output", folder / "out", "--to", folder / "to")

    assert (result.exit_code, told in result.output) == (2, True)
    assert not (folder / "to").exists()


def test_atlaspatch_1_1_finds_the_file_of_a_slide_complete(lab):
    """What its readers compare before they take over coords, features and slide embeddings."""
    folder, _ = lab
    with h5py.File(folder / "out" / "patches" / "a.h5") as file:
        about, coords = file.attrs, file["coords"]
        assert (int(about["patch_size"]), float(about["target_magnification"])) == (256, 20)
        assert int(about["num_patches"]) == len(coords) > 0
        assert (coords.dtype.name, coords.shape[1], len(file["passports"])) == ("int32", 5, len(coords))
        assert all(name == name.lower() for name in file["features"])
        assert all(len(rows) == len(coords) and rows.dtype == "float32" for rows in file["features"].values())
        vector = file[f"slide_features/{EMBEDDER}"]
        assert (vector.ndim, vector.dtype.name) == (1, "float32")
        assert vector.attrs["source_patch_encoder"] == ENCODER
        for name in ("num_patches", "patch_size", "patch_size_level0", "target_magnification"):
            assert vector.attrs[name] == about[name]

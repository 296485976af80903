"""``atlaspatch run``, run for real on painted slides."""

import os
import re
import signal
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from painting import paint_slide, stain, white
from processes import start_cli
from tracked_folders import PLUGIN
from waiting import SECONDS, send, until

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.main import cli
from atlaspatch_core.validity.outcome import Outcome, Status

LITE = "efficientnet_lite0"
PLACE = "20x_256px_0px_overlap"


def base(encoder: str) -> list[str]:
    return ["--segmenter", "otsu", "--patch_encoder", encoder, "--mag", "20", "--patch_size", "256"]


@pytest.fixture
def wsis(tmp_path) -> Path:
    """A folder with two slides of 1024 × 1024 px at 20x; a quarter of each is tissue."""
    folder = tmp_path / "wsis"
    folder.mkdir()
    for number, stem in enumerate(("a", "b")):
        paint_slide(folder / f"{stem}.svs", stain(white(1024, 1024), 64 * number, 0, 512, 512), objective_power=20)
    return folder


def words(wsis: Path, *more: str, encoder: str = LITE) -> list[str]:
    return ["run", "--wsi_dir", str(wsis), "--job_dir", str(wsis.parent / "job"), *base(encoder), *more]


def run(wsis: Path, *more: str, report=None, encoder: str = LITE) -> Result:
    return CliRunner().invoke(cli, words(wsis, *more, encoder=encoder), obj=Hooks(report))


def h5(wsis: Path, stem: str = "a", place: str = PLACE) -> Path:
    return wsis.parent / "job" / place / "patches" / f"{stem}.h5"


def content(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_all_stages_by_a_script_with_underscores(wsis):
    result = run(wsis, "--task", "all")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].startswith("2 slides: 2 computed, 0 reused, 0 failed; files in")
    job = wsis.parent / "job"
    assert (job / "contours_geojson" / "a.geojson").exists()
    assert (job / "contours" / "a.jpg").exists()
    assert (job / PLACE / "visualization" / "a.jpg").exists()
    assert content(h5(wsis))[f"features/{LITE}"].shape[1] == 1280
    again = run(wsis, "--task", "all")
    assert "2 slides: 0 computed, 2 reused, 0 failed" in again.stdout


def test_seg_is_the_default_stage_and_each_stage_stops_where_it_ends(wsis):
    assert run(wsis).exit_code == 0
    assert not h5(wsis).exists()
    assert run(wsis, "--task", "coords").exit_code == 0
    assert set(content(h5(wsis))) == {"coords", "passports", "tissue_fraction"}
    assert run(wsis, "--task", "feat").exit_code == 0
    assert f"features/{LITE}" in content(h5(wsis))


def test_later_stages_take_what_lies_there_though_their_options_are_not_repeated(wsis):
    run(wsis, "--task", "seg")
    run(wsis, "--task", "coords", "--min_tissue_proportion", "0.9")
    kept = content(h5(wsis))["coords"]
    bare = ["run", "--task", "feat", "--wsi_dir", str(wsis), "--job_dir", str(wsis.parent / "job")]
    result = CliRunner().invoke(cli, [*bare, "--mag", "20", "--patch_size", "256", "--patch_encoder", LITE])
    assert result.exit_code == 0, result.output
    assert re.search(r"^a: mask .* patches reused · .* features computed", result.stdout, re.M)
    assert (content(h5(wsis))["coords"] == kept).all()


def test_a_stage_makes_what_it_needs_and_is_not_there(wsis):
    assert run(wsis, "--task", "feat").exit_code == 0
    assert f"features/{LITE}" in content(h5(wsis))


def test_a_slide_encoder_brings_its_patch_encoder(wsis):
    bare = [
        "run",
        "--task",
        "all",
        "--wsi-dir",
        str(wsis),
        "--job-dir",
        str(wsis.parent / "job"),
        "--segmenter",
        "otsu",
    ]
    result = CliRunner().invoke(cli, [*bare, "--patch-size", "256", "--slide-encoder", f"mean-{LITE}"])
    assert result.exit_code == 0, result.output
    assert set(content(h5(wsis))) >= {f"features/{LITE}", f"slide_features/mean-{LITE}"}


@pytest.mark.e2e
def test_several_workers_give_what_one_gives(wsis):
    events: list[Outcome] = []
    result = run(wsis, "--task", "all", "--gpus", "-1", "-1", report=lambda _, outcome: events.append(outcome))
    assert result.exit_code == 0, result.output
    assert {outcome.status for outcome in events} == {Status.COMPUTED}
    several = {stem: content(h5(wsis, stem)) for stem in "ab"}
    (wsis.parent / "job").rename(wsis.parent / "several")
    run(wsis, "--task", "all")
    for stem in "ab":
        one = content(h5(wsis, stem))
        assert one.keys() == several[stem].keys()
        assert (one["coords"] == several[stem]["coords"]).all()
        # one thread or two add up in another order
        assert np.allclose(one[f"features/{LITE}"], several[stem][f"features/{LITE}"], atol=1e-4)


def test_a_cache_is_emptied_and_changes_nothing(wsis, tmp_path):
    cache = tmp_path / "ssd"
    cache.mkdir()
    (cache / "precious.txt").write_text("mine")
    for gpus in (["-1"], ["-1", "-1"]):
        result = run(
            wsis, "--task", "coords", "--force", "--wsi_cache", str(cache), "--cache_batch_size", "1", "--gpus", *gpus
        )
        assert result.exit_code == 0, result.output
        assert [path.name for path in cache.rglob("*")] == ["precious.txt"]
    assert "2 slides: 0 computed, 2 reused" in run(wsis, "--task", "coords").stdout


def test_what_is_up_to_date_is_not_copied_to_the_cache(wsis, tmp_path):
    run(wsis, "--task", "all")
    for path in wsis.iterdir():
        path.chmod(0o000)
    result = run(wsis, "--task", "all", "--wsi_cache", str(tmp_path / "ssd"))
    assert "was not staged" not in result.stderr
    assert "2 slides: 0 computed, 2 reused, 0 failed" in result.stdout


@pytest.mark.parametrize("gpus", [[], pytest.param(["--gpus", "-1", "-1"], marks=pytest.mark.e2e)])
def test_without_skip_errors_the_run_stops_at_a_failed_slide(wsis, gpus):
    (wsis / "0.svs").write_bytes(b"no slide")
    result = run(wsis, "--task", "coords", *gpus)
    assert result.exit_code == 1
    assert "Stopped at the first slide that failed, 0; --skip-errors goes on with the others." in result.stderr
    result = run(wsis, "--task", "coords", "--skip_errors", *gpus)
    assert result.exit_code == 1
    assert "3 slides: 2 computed, 0 reused, 1 failed" in re.sub(
        r"0 computed, 2 reused", "2 computed, 0 reused", result.stdout
    )
    assert "coords" in content(h5(wsis, "b"))


@pytest.mark.parametrize(("format", "suffix"), [("png", ".png"), ("jpg", ".jpg")])
def test_patches_are_dumped_under_tridents_names(wsis, format, suffix):  # noqa: A002
    options = ["--dump_patches", "--dump_patches_max", "2", "--dump_patches_format", format]
    result = run(wsis, "--task", "coords", *options, "--dump_patches_jpeg_quality", "80")
    assert result.exit_code == 0, result.output
    folder = wsis.parent / "job" / PLACE / "patch_images" / "a"
    first = content(h5(wsis))["coords"][:2, :2].tolist()
    names = [f"{row:06d}_x{x}_y{y}{suffix}" for row, (x, y) in enumerate(first)]
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == names
    (folder / "notes.txt").write_text("mine")
    image = cv2.imread(str(folder / names[0]))
    assert image is not None
    assert image.shape == (256, 256, 3)
    run(wsis, "--task", "coords", "--dump_patches", "--dump_patches_max", "1")
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == [
        names[0].replace(suffix, ".png"),
        "notes.txt",
    ]


def trident_coords(path: Path, corners: list[list[int]], **more) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        coords = file.create_dataset("coords", data=np.array(corners, np.int64))
        size = {"patch_size": 256, "patch_size_level0": 256.0, "level0_magnification": 20, "target_magnification": 20.0}
        coords.attrs.update(size | {"overlap": 0, "level0_width": 1024, "level0_height": 1024} | more)


def test_features_on_coords_that_trident_laid_need_no_mask(wsis):
    for stem in "ab":
        trident_coords(wsis.parent / "job" / "theirs" / "patches" / f"{stem}_patches.h5", [[300, 10], [7, 9]])
    bare = ["run", "--task", "feat", "--wsi_dir", str(wsis), "--job_dir", str(wsis.parent / "job")]
    result = CliRunner().invoke(cli, [*bare, "--coords_dir", "theirs", "--patch_encoder", LITE])
    assert result.exit_code == 0, result.output
    found = content(h5(wsis, place=f"{PLACE}_supplied"))
    assert found["coords"][:, :2].tolist() == [[300, 10], [7, 9]]
    assert found[f"features/{LITE}"].shape == (2, 1280)
    assert not (wsis.parent / "job" / "contours_geojson").exists()


def test_features_on_coords_that_clam_laid(wsis, tmp_path):
    for stem in "ab":
        path = tmp_path / "clam" / "patches" / f"{stem}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            coords = file.create_dataset("coords", data=np.array([[0, 0]], np.int32))
            coords.attrs.update({"patch_size": 256, "patch_level": 0})
    result = run(wsis, "--task", "feat", "--coords_dir", str(tmp_path / "clam"))
    assert result.exit_code == 0, result.output
    assert content(h5(wsis, place=f"{PLACE}_supplied"))[f"features/{LITE}"].shape == (1, 1280)


def test_coords_beyond_the_slide_are_refused(wsis):
    for stem in "ab":
        trident_coords(wsis.parent / "job" / "theirs" / f"{stem}_patches.h5", [[5000, 0]])
    result = run(wsis, "--task", "feat", "--coords_dir", "theirs", "--skip_errors")
    assert result.exit_code == 1
    assert "b: 1 patch" not in result.stdout
    assert re.search(r"^a: .*FAILED: 1 of 1 patches .* begin beyond the slide", result.stdout, re.M)


def test_coords_dir_names_the_folder_of_our_own_coords(wsis):
    assert run(wsis, "--task", "coords", "--coords_dir", "mine").exit_code == 0
    assert h5(wsis, place="mine").exists()
    bare = ["run", "--task", "feat", "--wsi_dir", str(wsis), "--job_dir", str(wsis.parent / "job")]
    result = CliRunner().invoke(cli, [*bare, "--coords_dir", "mine", "--patch_encoder", LITE])
    assert result.exit_code == 0, result.output
    assert f"features/{LITE}" in content(h5(wsis, place="mine"))


def test_tridents_own_files_are_written_beside_where_asked(wsis):
    result = run(wsis, "--task", "all", "--layout", "trident")
    assert result.exit_code == 0, result.output
    place = wsis.parent / "job" / PLACE
    with h5py.File(place / "patches" / "a_patches.h5") as file, h5py.File(h5(wsis)) as ours:
        assert (file["coords"][()] == ours["coords"][:, :2]).all()
    with h5py.File(place / f"features_{LITE}" / "a.h5") as file, h5py.File(h5(wsis)) as ours:
        assert (file["features"][()] == ours[f"features/{LITE}"][()]).all()
    assert "0 computed, 2 reused" in run(wsis, "--task", "all", "--layout", "trident").stdout


def test_a_list_of_slides_and_several_suffixes(wsis, tmp_path):
    table = tmp_path / "list.csv"
    table.write_text("wsi,mpp\nb.svs,0.5\n")
    assert run(wsis, "--custom_list_of_wsis", str(table)).stdout.splitlines()[0].startswith("b: mask")
    assert "2 slides" in run(wsis, "--wsi_ext", ".tif", ".svs").stdout
    assert run(wsis, "--wsi_ext", ".tif", ".ndpi").exit_code == 1


def test_dead_locks_are_explained(wsis):
    result = run(wsis, "--clear_dead_locks", "--dead_lock_max_age_hours", "1")
    assert result.exit_code == 0
    assert result.stderr.count("does nothing and may be left out") == 2


@pytest.mark.parametrize(
    ("typed", "taken", "line"),
    [
        (["--patch_encoder", "resnet50"], "resnet50_layer3", "resnet50 is TRIDENT's here (1024 numbers a patch)"),
        (["--slide_encoder", "mean-phikon_v2"], "phikon_v2_bilinear", "AtlasPatch's is atlaspatch-phikon_v2"),
        (["--patch_encoder", "Atlaspatch-Resnet50"], "resnet50", ""),
        (["--slide_encoder", "mean-kaiko-vit8s"], "kaiko-vits8", ""),
    ],
)
def test_names_that_two_tools_share_are_tridents_and_said(wsis, typed, taken, line, monkeypatch, tmp_path):
    monkeypatch.setenv("ATLASPATCH_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path / "cache"))
    result = run(wsis, "--task", "feat", *typed)
    assert result.exit_code == 1
    assert f"{taken} features FAILED: {taken}: no weights" in result.output.replace("\n", " ")
    assert line in result.stderr
    assert ("'s here (" in result.stderr) == bool(line)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--overlap", "256"], "--overlap 256 px must be less than --patch-size 256 px"),
        (["--overlap", "-1"], "'--overlap'"),
        (["--mag", "0"], "'--mag'"),
        (["--min_tissue_proportion", "1.5"], "'--min-tissue-proportion'"),
        (["--segmenter", "watershed"], "watershed"),
        (["--task", "feat", "--patch_encoder", "uni_v9"], "uni_v9"),
        (
            ["--task", "feat", "--slide_encoder", "titan", "--patch_size", "512"],
            "or add --allow-remote-code with its name",
        ),
        (
            ["--task", "feat", "--slide_encoder", "titan"],
            "patch size 256 px does not suit the slide encoders (titan needs 512)",
        ),
        (["--task", "feat", "--slide_encoder", "prism,titan"], "(prism needs 224, titan needs 512); give each a run"),
        (["--task", "feat", "--patch_encoder_img_size", "300"], f"{LITE}: takes images of its own size only"),
        (
            ["--task", "feat", "--slide_encoder", f"mean-{LITE}", "--patch_encoder_img_size", "448"],
            "does not go with --slide-encoder",
        ),
        (["--task", "feat", "--patch_encoder_ckpt_path", "/no/such.pt"], "there is no /no/such.pt"),
        (["--task", "feat", "--coords_dir", "nothing"], "there are no coords in"),
        (["--dump_patches_jpeg_quality", "101"], "'--dump-patches-jpeg-quality'"),
        (["--gpus", "-2"], "'--gpus'"),
        (["--gpus"], "requires an argument"),
        (["--reader_type", "psychic"], "psychic"),
        (["--task", "vlm"], "vlm"),
        (["stray"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(wsis, options, complaint):
    result = run(wsis, *options)
    assert result.exit_code == 2, result.output
    assert complaint in re.sub(r"\s+", " ", result.stderr)
    assert not (wsis.parent / "job").exists()


def test_an_empty_folder_is_one_sentence(tmp_path):
    (tmp_path / "none").mkdir()
    result = CliRunner().invoke(cli, ["run", "--wsi-dir", str(tmp_path / "none"), "--job-dir", str(tmp_path / "job")])
    assert result.exit_code == 1
    assert "no slide found" in result.stderr


@pytest.mark.e2e
def test_ctrl_c_ends_all_workers_with_130_and_the_next_run_goes_on(wsis):
    (wsis.parent / "plugin.py").write_text(PLUGIN)
    (wsis.parent / "gate").touch()
    encoders = ["--feature-plugin", str(wsis.parent / "plugin.py"), "--slide-encoder", "gated"]
    # a group of its own, so that Ctrl-C reaches parent and workers alike, as a terminal does it
    command = words(wsis, "--task", "all", "--gpus", "-1", "-1", *encoders, encoder="tiny")
    process = start_cli(*command, new_session=True)
    until("a worker is at the gate", lambda: (wsis.parent / "reached").exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    send(signal.SIGINT, process.pid, group=True)
    (wsis.parent / "gate").unlink()
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, errors
    assert "what was finished stays in" in errors
    assert "Traceback" not in errors
    until("no process is left", lambda: not lives(process.pid))
    assert run(wsis, "--task", "all", *encoders, encoder="tiny").exit_code == 0


def lives(group: int) -> bool:
    """Tell whether a process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_tridents_own_commands_are_understood(wsis):
    job = str(wsis.parent / "job")
    single = ["single", "--", "--slide_path", str(wsis / "a.svs"), "--job_dir", job, *base(LITE)[:4]]
    result = CliRunner().invoke(cli, single)
    assert result.exit_code == 0, result.output
    assert content(h5(wsis))[f"features/{LITE}"].shape[1] == 1280, "256 px at 20x, all stages"
    result = CliRunner().invoke(cli, ["batch", "--", *words(wsis, "--task", "coords")[1:]])
    assert result.exit_code == 0, result.output
    assert h5(wsis, "b").exists()
    result = CliRunner().invoke(cli, ["doctor", "--", "--profile", "base"])
    assert "whatever the profile" in result.stderr

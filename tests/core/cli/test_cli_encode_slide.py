"""``atlaspatch encode-slide``, run for real on painted slides and on the slide that the package carries."""

import os
import re
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from painting import paint_slide, stain, white
from plugins import plugin_file
from processes import start_cli
from tracked_folders import PLUGIN_HEAD
from waiting import SECONDS, send, until

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.main import cli
from atlaspatch_core.validity.outcome import Outcome, Status

LITE = "efficientnet_lite0"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
"""Control characters other than the newline."""

PLUGIN = f"""{PLUGIN_HEAD}PATCH_ENCODERS = [
    PatchEncoder(
        name="tiny", architecture=Built(mean_colour), source=BuiltIn(), dim=3, transform=RGB, license="CC0-1.0"
    )
]
SLIDE_ENCODERS = [
    SlideEncoder(name="gated", patch_encoder="tiny", dim=3, forward=wait_at_gate, license="CC0-1.0"),
    SlideEncoder(
        name="picky", patch_encoder="tiny", dim=3, forward=wait_at_gate, license="CC0-1.0", patch_size=512
    ),
]
"""
"""An encoder of three numbers, so that a run takes no time; and two slide encoders with a will of their own."""


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """A folder with one slide: 1024 × 1024 px at 20x, its left half tissue."""
    folder = tmp_path / "slides"
    folder.mkdir()
    paint(folder / "a.svs")
    return folder


def paint(path: Path, *, mpp: float | None = 0.5) -> Path:
    pixels = stain(white(1024, 1024), 128, 128, 512, 768)
    return paint_slide(path, pixels, mpp=mpp)


def arguments(slides: Path, output: Path, *more: str) -> list[str]:
    """Return a command line with the tiny encoder, or with what is given instead."""
    words = ["encode-slide", str(slides), "-o", str(output), "--patch-size", "256", *more]
    words += [] if "--target-mpp" in more else ["--target-mag", "20"]
    words += [] if "--device" in more else ["--device", "cpu"]
    plugin = plugin_file(PLUGIN)
    if "gated" in more:  # its gate is beside it
        plugin = output.parent / "plugin.py"
        plugin.write_text(PLUGIN)
    words += ["--feature-plugin", str(plugin)]
    return [*words, *([] if "--slide-encoders" in more else ["--slide-encoders", "mean-tiny"])]


def run(slides: Path, *more: str, output: Path | None = None, report=None) -> Result:
    words = arguments(slides, output or slides.parent / "out", *more)
    return CliRunner().invoke(cli, words, obj=Hooks(report))


def states(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and modification time of every file, but for caches, and what tells of runs: each adds to that."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [file for file in files if file.parent.name not in ("runs", ".index") and file != folder / "summary.md"]
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def dataset(path: Path, name: str) -> np.ndarray:
    with h5py.File(path) as file:
        return np.asarray(file[name])


def test_a_slide_becomes_one_file_and_the_second_run_reuses_it_whole(slides: Path):
    first = run(slides)
    h5 = slides.parent / "out" / "patches" / "a.h5"
    assert first.exit_code == 0, first.output
    coords, features = dataset(h5, "coords"), dataset(h5, "features/tiny")
    assert (coords.dtype, coords.shape[1]) == (np.int32, 5)
    assert (features.dtype, features.shape) == (np.float32, (len(coords), 3))
    assert dataset(h5, "slide_features/mean-tiny").shape == (3,)
    assert re.search(rf"^a: mask with [\d.]+ % tissue, {len(coords)} patches, .*computed \(new\)$", first.stdout, re.M)
    assert first.stdout.splitlines()[-1] == f"1 slide: 1 computed, 0 reused, 0 failed; files in {slides.parent / 'out'}"

    before = states(slides.parent / "out")
    second = run(slides)
    assert second.exit_code == 0
    assert re.search(
        rf"^a: mask .*, {len(coords)} patches, tiny features, mean-tiny embedding reused$", second.stdout, re.M
    )
    assert "1 slide: 0 computed, 1 reused, 0 failed" in second.stdout
    assert states(slides.parent / "out") == before


def test_another_step_size_recomputes_from_the_coords_on_and_says_so(slides: Path):
    run(slides)
    line = run(slides, "--step-size", "128").stdout.splitlines()[0]
    mask, patches, *rest = line.split(" · ")
    assert mask.endswith("tissue reused")
    assert re.fullmatch(r"\d+ patches computed \(.*step_size.*128.*\)", patches)
    assert rest
    assert all("computed (" in phrase for phrase in rest)


def test_force_computes_everything_again(slides: Path):
    run(slides)
    assert run(slides, "--skip-existing").stdout.splitlines()[0].endswith("reused")
    assert run(slides, "--force").stdout.splitlines()[0].endswith("computed (forced)")


def test_patch_encoders_alone_make_features_without_an_embedding(slides: Path, tmp_path: Path):
    words = ["encode-slide", str(slides / "a.svs"), "-o", str(tmp_path / "o"), "--patch-encoders", "tiny"]
    plugin = ["--feature-plugin", str(plugin_file(PLUGIN))]
    result = CliRunner().invoke(cli, [*words, *plugin, "--patch-size", "512", "--target-mag", "20"])
    assert result.exit_code == 0, result.output
    with h5py.File(tmp_path / "o" / "patches" / "a.h5") as file:
        assert list(file["features"]) == ["tiny"]  # pyright: ignore[reportArgumentType]
        assert "slide_features" not in file


def test_an_absent_gpu_is_one_warning_and_nothing_is_a_control_character(slides: Path, tmp_path: Path):
    paint(slides / "b.svs")
    process = start_cli(*arguments(slides, tmp_path / "out", "--device", "auto"))
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert CONTROL.search(out + err) is None
    assert len(out.splitlines()) == 3
    assert len([line for line in err.splitlines() if "computing on the CPU" in line]) == (0 if has_gpu() else 1)
    assert "float16" not in err


@pytest.mark.parametrize(
    "options", [("--device", "cuda"), ("--feature-device", "mps"), ("--gpus", "0"), ("--device", "cuda:7")]
)
def test_a_device_that_is_asked_for_and_not_there_is_wrong_usage(slides: Path, options):
    if has_gpu():
        pytest.skip("this machine has a GPU")
    result = run(slides, *options)
    assert (result.exit_code, "is not there: " in result.stderr, "take auto" in result.stderr) == (2, True, True)
    assert not (slides.parent / "out").exists()


def test_float16_that_is_typed_for_a_cpu_is_told(slides: Path):
    told = "float16 is not computed on a CPU"
    typed, by_default = run(slides, "--feature-precision", "float16"), run(slides)
    assert (told in typed.stderr, told in by_default.stderr) == (True, False)


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def test_every_switch_of_pictures_and_speed_works_in_one_run(slides: Path):
    more = ("--save-images", "--visualize-grids", "--visualize-mask", "--visualize-contours", "--no-fast-mode")
    speed = ("--feature-batch-size", "3", "--feature-num-workers", "0", "--seg-batch-size", "2", "--write-batch", "4")
    limits = (
        "--patch-workers",
        "1",
        "--max-open-slides",
        "1",
        "--feature-device",
        "cpu",
        "--feature-precision",
        "float32",
    )
    colours = ("--white-thresh", "10", "--black-thresh", "40", "--tissue-thresh", "0.01", "--min-tissue", "0.2")
    result = run(slides, *more, *speed, *limits, *colours, "--recursive", "-v")
    output = slides.parent / "out"
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (output / "visualization").iterdir()) == [
        "a.png",
        "a_contours.png",
        "a_mask.png",
        "a_mask_bw.png",
    ]
    coords = dataset(output / "patches" / "a.h5", "coords")
    names = {path.name for path in (output / "images" / "a").glob("*.png")}
    assert names == {f"a_x{x}_y{y}.png" for x, y, *_ in coords.tolist()}
    assert re.search(r"^  a patch_coords computed  [\d.]+ s  [0-9a-f]{16}  .*patches=\d+", result.stdout, re.M)


def test_options_that_decide_the_geometry_are_heard(slides: Path):
    everything = run(
        slides,
        output=slides.parent / "low",
    )
    strict = run(slides, "--min-tissue", "1.0", output=slides.parent / "high")
    coarse = run(
        slides, "--target-mpp", "1.0", "--edge", "drop", "--rule", "atlaspatch", output=slides.parent / "coarse"
    )
    assert (everything.exit_code, strict.exit_code, coarse.exit_code) == (0, 0, 0)
    count = {
        name: len(dataset(slides.parent / name / "patches" / "a.h5", "coords")) for name in ("low", "high", "coarse")
    }
    assert count["low"] > count["high"] > 0
    assert count["low"] > count["coarse"] > 0


def test_subfolders_are_searched_only_when_recursive(slides: Path):
    (slides / "below").mkdir()
    paint(slides / "below" / "b.svs")
    assert "1 slide:" in run(slides).stdout
    assert "2 slides:" in run(slides, "--recursive").stdout


def test_outputs_among_the_slides_are_not_taken_for_slides(slides: Path):
    more = ("--recursive", "--save-images", "--visualize-mask")
    assert "1 slide: 1 computed" in run(slides, *more, output=slides).stdout
    assert "1 slide: 0 computed, 1 reused" in run(slides, *more, output=slides).stdout


def test_a_table_of_mpp_wins_and_its_change_recomputes_with_the_reason(slides: Path):
    run(slides)
    table = slides.parent / "mpp.csv"
    table.write_text("wsi,mpp\na.svs,0.48\n")
    result = run(slides, "--mpp-csv", str(table))
    assert result.exit_code == 0, result.output
    assert re.match(r"a: slide computed \(.*mpp 0\.5 → 0\.48.*\)", result.stdout)
    assert dataset_attribute(slides.parent / "out" / "patches" / "a.h5", "mpp") == 0.48


def dataset_attribute(path: Path, name: str):
    with h5py.File(path) as file:
        return file.attrs[name]


def test_bad_slides_are_one_line_each_and_stop_no_other(slides: Path):
    (slides / "b_broken.svs").write_bytes(b"no slide at all")
    paint(slides / "c_scale.svs", mpp=0.005)
    (slides / "d_cut.svs").write_bytes((slides / "a.svs").read_bytes()[:5000])
    paint(slides / "e_clash.svs")
    paint(slides / "e_clash.tiff")
    result = run(slides)
    assert result.exit_code == 1
    lines = {line.split(":")[0]: line for line in result.stdout.splitlines()[:-1]}
    assert sorted(lines) == ["a", "b_broken", "c_scale", "d_cut", "e_clash"]
    assert "computed" in lines["a"]
    assert all("FAILED: " in lines[stem] for stem in lines if stem != "a")
    assert "0.005" in lines["c_scale"]
    assert str(slides / "e_clash.svs") in lines["e_clash"]
    assert str(slides / "e_clash.tiff") in lines["e_clash"]
    assert result.stdout.splitlines()[-1].startswith("5 slides: 1 computed, 0 reused, 4 failed; ")
    assert "Traceback" not in result.output


def test_finer_than_scanned_fails_that_slide(slides: Path):
    result = run(slides, "--target-mpp", "0.25")
    assert result.exit_code == 1
    assert re.match(r"a: mask .* computed \(new\) · patches FAILED: asked for 0\.25 µm/px", result.stdout)


def test_a_folder_without_slides_is_one_line(tmp_path: Path):
    result = run(tmp_path, "--slide-encoders", f"mean-{LITE}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(rf"Error: {tmp_path}: no slide found.*", result.stderr.strip())


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_an_output_that_cannot_be_made_is_one_sentence_before_any_work(slides: Path, kind: str):
    blocker = slides.parent / "blocker"
    blocker.write_text("")
    result = run(slides, output=blocker if kind == "file" else blocker / "below")
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(blocker) in result.stderr.splitlines()[-1]
    assert len(result.stderr.splitlines()) == 1


def test_a_slide_encoder_of_another_patch_size_is_wrong_usage(slides: Path):
    result = run(slides, "--slide-encoders", "picky")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "512" in result.stderr.splitlines()[-1]


def test_a_plugin_that_declares_nothing_is_wrong_usage(slides: Path, tmp_path: Path):
    (tmp_path / "empty.py").write_text("")
    result = run(slides, "--feature-plugin", str(tmp_path / "empty.py"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(tmp_path / "empty.py") in result.stderr.splitlines()[-1]


def test_every_outcome_is_reported(slides: Path):
    seen: list[Outcome] = []
    assert run(slides, report=lambda _, outcome: seen.append(outcome)).exit_code == 0
    assert [str(outcome.step) for outcome in seen] == [
        "slide",
        "tissue_mask",
        "patch_coords",
        "patch_features/tiny",
        "slide_embedding/mean-tiny",
    ]
    assert {outcome.status for outcome in seen} == {Status.COMPUTED}


def test_a_slide_without_tissue_is_done_and_says_so(slides: Path):
    paint_slide(slides / "a.svs", white(1024, 1024))
    result = run(slides)
    assert result.exit_code == 0, result.output
    assert "0 patches" in result.stdout
    assert "skipped (" in result.stdout


def test_an_interrupted_run_keeps_what_is_finished_and_the_next_one_goes_on(slides: Path, tmp_path: Path):
    output, reached = tmp_path / "out", tmp_path / "reached"
    (tmp_path / "gate").touch()
    process = start_cli(*arguments(slides, output, "--slide-encoders", "gated"))
    until("the run is at the gate", lambda: reached.exists() or process.poll() is not None)
    send(signal.SIGINT, process.pid)
    (tmp_path / "gate").unlink()
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    done = "0 of 1 slide done, 1 slide in part"
    assert err.splitlines()[-1] == f"Interrupted: {done}; what was finished stays in {output}; run again to go on."
    assert re.search(r"^a: mask .* computed \(new\).* interrupted$", out, re.MULTILINE)
    assert "Traceback" not in err
    again = run(slides, "--slide-encoders", "gated", output=output)
    assert again.exit_code == 0
    assert re.match(r"a: mask [^·]*, tiny features[^·]* reused", again.stdout)


def test_the_real_slide_at_256_px_and_20x(bundled_slide: Path, tmp_path: Path):
    result = run(bundled_slide, "--slide-encoders", f"mean-{LITE}", output=tmp_path / "out")
    assert result.exit_code == 0, result.output
    share = re.search(r"mask with ([\d.]+) % tissue", result.stdout)
    assert share is not None
    assert 30 <= float(share[1]) <= 47
    h5 = tmp_path / "out" / "patches" / f"{bundled_slide.stem}.h5"
    coords, features = dataset(h5, "coords"), dataset(h5, f"features/{LITE}")
    assert (coords.dtype, coords.shape) == (np.int32, (len(features), 5))
    assert features.shape[1] == 1280
    assert bool(np.isfinite(features).all())
    assert dataset(h5, f"slide_features/mean-{LITE}").shape == (1280,)
    with h5py.File(h5) as file:
        attributes = {name: type(value) for name, value in file.attrs.items()}
    assert {name: attributes[name] for name in FILE_ATTRIBUTES} == FILE_ATTRIBUTES


FILE_ATTRIBUTES = (
    dict.fromkeys(("patch_size", "patch_size_level0", "level0_magnification", "target_magnification"), np.int64)
    | dict.fromkeys(("overlap", "level0_width", "level0_height", "passport_version", "num_patches"), np.int64)
    | dict.fromkeys(("wsi_path", "passport_format", "creation_date", "filename", "vendor"), str)
    | {"mpp": np.float64, "magnification": np.int64}
)
"""What readers of AtlasPatch's files look for, and its type in h5py."""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line_a_slide(slides: Path, tmp_path: Path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    result = run(slides, output=locked / "out")
    assert result.exit_code == 1
    assert "FAILED" in result.stdout.splitlines()[0]


def test_an_mpp_a_hundred_times_too_small_is_refused_with_its_value(shared_slides: Path, tmp_path: Path):
    slide = shared_slides / "wsic" / "CMU-1-Small-Region.jpeg.tiff"
    result = run(slide, "--slide-encoders", f"mean-{LITE}", output=tmp_path / "out")
    assert result.exit_code == 1
    line, _ = result.stdout.splitlines()
    assert re.match(r"CMU-1-Small-Region\.jpeg: slide FAILED: 0\.00499.*", line)


@pytest.mark.e2e
def test_gpus_work_side_by_side_with_the_results_of_one(slides):
    paint(slides / "b.svs")
    results = [run(slides, *gpus, output=slides.parent / f"out{len(gpus)}") for gpus in ([], ["--gpus", "-1"] * 2)]
    assert [result.exit_code for result in results] == [0, 0], results[1].output
    for stem in ("a", "b"):
        one, two = (h5py.File(slides.parent / folder / "patches" / f"{stem}.h5") for folder in ("out0", "out4"))
        with one, two:
            assert np.array_equal(one["features/tiny"], two["features/tiny"])
            assert one["features/tiny"].attrs["fingerprint"] == two["features/tiny"].attrs["fingerprint"]


@pytest.mark.parametrize("words", [["--gpus", "-1,70"], ["--gpus", "-1 70"], ["--gpus", "-1", "--gpus", "70,"]])
def test_gpus_are_listed_by_commas_blanks_or_repeated(slides, words: list[str]):
    result = run(slides, *words)
    assert (result.exit_code, "the device cuda:70 is not there" in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(
    ("text", "why"), [("0,x", "'x'"), ("", "''"), ("-2", "'-2' is no GPU; give whole numbers from -1")]
)
def test_gpus_are_whole_numbers(slides, text: str, why: str):
    result = run(slides, "--gpus", text)
    assert (result.exit_code, why in result.stderr, "--gpus" in result.stderr) == (2, True, True), result.stderr


def test_gpus_and_a_device_for_features_exclude_each_other(slides):
    result = run(slides, "--gpus", "-1", "--feature-device", "cpu")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "Error: either --gpus or --feature-device")

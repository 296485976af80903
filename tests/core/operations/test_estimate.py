import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from painting import paint_slide, stain, white
from project_files import project_text

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import load_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.operations.estimate import ASSUMED, Rate
from atlaspatch_core.operations.measured_rates import measure_rates, sample_by_size
from atlaspatch_core.operations.rates import MEASURED, keep_measured, rates_of_runs, read_measured
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe, make_recipe

FEATURES = OutputKey("patch_features", "efficientnet_lite0")

PROJECT = project_text(
    geometry='precision = "float32"\npatch_encoders = ["efficientnet_lite0"]\n'
    'slide_encoders = ["mean-efficientnet_lite0"]',
    runtime="threads = 1\nread_workers = 1\nfeature_batch_size = 4",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of three slides of 4, 4 and 9 patches; the file of the last is the largest."""
    (tmp_path / "slides").mkdir()
    for stem, side in (("a", 512), ("b", 512), ("c", 768)):
        pixels = stain(white(2 * side, 2 * side), 256, 256, side, side)
        paint_slide(tmp_path / "slides" / f"{stem}.svs", pixels)
    file = tmp_path / "atlaspatch.toml"
    file.write_text(PROJECT)
    return file


def estimate(project: Path, *options: str, hooks: Hooks | None = None) -> Result:
    return CliRunner().invoke(cli, ["estimate", "--project", str(project), *options], obj=hooks)


def values(project: Path, *options: str, hooks: Hooks | None = None) -> dict:
    result = estimate(project, "--json", *options, hooks=hooks)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def of_step(found: dict, step: OutputKey = FEATURES) -> dict:
    return next(it for it in found["steps"] if it["step"] == str(step))


def encode(project: Path, stems: Sequence[str]) -> None:
    """Encode slides as the project does, with its states written."""
    slides = [str(project.parent / "slides" / f"{stem}.svs") for stem in stems]
    options = ["--patch-size", "256", "--target-mag", "20", "--patch-encoders", "efficientnet_lite0"]
    more = ["--feature-precision", "float32", "--device", "cpu", "--output", str(project.parent / "output")]
    for slide in slides:
        result = CliRunner().invoke(cli, ["encode-slide", slide, *options, *more])
        assert result.exit_code == 0, result.output


def test_before_anything_was_measured_what_is_assumed_is_said(project):
    found = values(project)

    assert (found["slides"], found["outputs"], found["patches"]) == (3, 15, 30_000)
    assert of_step(found)["source"] == ASSUMED
    assert of_step(found)["patches_from"] == "3 slides as 10,000 each, assumed: no slide was measured yet"
    assert len(found["assumed"]) == 5
    assert found["free_gigabytes"] > 0
    text = estimate(project).stdout
    assert "'atlaspatch estimate --measure' measures them on this machine" in text


def test_embeddings_of_cases_are_counted_beside_the_slides(project):
    (project.parent / "cases.csv").write_text("case_id,slide_path\np1,slides/a.svs\np1,slides/b.svs\np2,slides/c.svs\n")
    patients = '[patients]\nmanifest = "cases.csv"\nencoders = ["mean-efficientnet_lite0"]\n'
    project.write_text(PROJECT + patients)
    step = OutputKey("patient_embedding", "mean-efficientnet_lite0")

    found = values(project)

    assert (found["slides"], found["cases"], found["outputs"]) == (3, 2, 17)
    assert (of_step(found, step)["cases"], of_step(found, step)["unit"]) == (2, "cases")
    assert estimate(project).stdout.splitlines()[-2].startswith("3 slides, 2 cases, 30,000 patches, about ")


def test_measures_are_of_real_work_and_are_used_from_then_on(project):
    measured = values(project, "--measure")
    later = values(project)

    assert measured == {**later, "free_gigabytes": measured["free_gigabytes"]}
    assert later["assumed"] == []
    assert later["patches"] == 4 + 4 + 9
    assert of_step(later)["patches_from"] == "counted for 3 slides"
    assert of_step(later)["source"].startswith("measured on ")
    assert of_step(later)["hours"] == pytest.approx(17 / of_step(later)["per_second"] / 3600)
    assert of_step(later)["gigabytes"] == pytest.approx(17 * 1280 * 4 / 1e9)


def test_measuring_leaves_nothing_but_its_rates(project):
    estimate(project, "--measure", "--slides", "1")

    output = project.parent / "output"
    kept = [path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()]
    assert [path for path in kept if not path.startswith(".locks/")] == [".index/rates.json"]


def test_slides_that_were_not_measured_count_as_the_mean_of_the_others(project):
    found = values(project, "--measure", "--slides", "1")

    assert of_step(found)["patches_from"] == "counted for 1 slide; 2 slides as 4 each, the mean of 1"
    assert found["patches"] == 12


def test_patches_measured_with_another_geometry_say_nothing(project):
    values(project, "--measure")
    project.write_text(PROJECT.replace("patch_size = 256", "patch_size = 128"))

    found = values(project)

    assert of_step(found)["patches_from"] == "3 slides as 10,000 each, assumed: no slide was measured yet"
    assert of_step(found)["source"].startswith("measured on ")


def test_coords_of_another_geometry_are_not_said_to_be_counted(project):
    encode(project, ["a"])
    project.write_text(PROJECT.replace("patch_size = 256", "patch_size = 512"))
    found = of_step(values(project))["patches_from"]
    assert found == "1 slide as in coords that are to be replaced; 2 slides as 4 each, the mean of 1"
    values(project, "--measure")
    assert of_step(values(project))["patches_from"] == "counted for 3 slides"


def test_a_forced_run_counts_the_coords_that_it_would_lay_again(project):
    encode(project, ["a"])
    slide, output = project.parent / "slides" / "a.svs", project.parent / "output"
    words = ["encode-slide", str(slide), "--output", str(output), "--target-mag", "20", "--device", "cpu", "--dry-run"]
    words += ["--patch-encoders", "efficientnet_lite0", "--feature-precision", "float32", "--force"]
    said = [CliRunner().invoke(cli, [*words, "--patch-size", size]).output for size in ("256", "512")]
    assert "patches counted for 1 slide" in said[0]
    assert "patches 1 slide as in coords that are to be replaced" in said[1]


def test_rates_of_another_device_are_not_taken(project):
    recipe = make_recipe(load_project(project))
    keep_measured(recipe.project.output, measure_rates(recipe, sources(project), slides=1, tell=[].append))

    assert read_measured(recipe.project.output, "cpu") is not None
    assert read_measured(recipe.project.output, "cuda") is None


def test_damaged_rates_are_as_none(project):
    recipe = make_recipe(load_project(project))
    file = recipe.project.output / ".index" / "rates.json"
    file.parent.mkdir(parents=True)
    for content in ("", "[]", '{"version": 1}', '{"version": 1, "device": "cpu", "unknown": 3}'):
        file.write_text(content)
        assert read_measured(recipe.project.output, "cpu") is None
    assert values(project)["slides"] == 3


def test_earlier_runs_say_how_fast_steps_are(project):
    encode(project, ["a", "c"])

    recipe = make_recipe(load_project(project))
    rates = rates_of_runs(recipe)
    found = values(project)

    assert rates[FEATURES].source == MEASURED
    assert rates[FEATURES].per_second > 0
    assert of_step(found)["source"] == MEASURED
    assert of_step(found)["slides"] == 1
    assert of_step(found)["patches_from"].endswith("the mean of 2")


def test_rates_that_were_remembered_elsewhere_come_before_those_of_files(project):
    def of_dagster(recipe: Recipe) -> dict[OutputKey, Rate]:
        return {recipe.stage(FEATURES).step: Rate(1234.0)}

    found = values(project, hooks=Hooks(rates=of_dagster))

    assert of_step(found)["per_second"] == 1234.0
    assert str(FEATURES) not in found["assumed"]


def test_a_finished_project_needs_nothing(project):
    project.write_text(PROJECT.replace('slide_encoders = ["mean-efficientnet_lite0"]', ""))
    encode(project, ["a", "b", "c"])

    assert estimate(project).stdout == "nothing to do: all that can be made is fresh\n"


def test_a_slide_that_cannot_be_opened_is_told_and_the_others_are_measured(project):
    (project.parent / "slides" / "broken.svs").write_bytes(b"no slide")

    result = estimate(project, "--measure", "--slides", "9")

    assert result.exit_code == 0
    assert "not measured: broken: " in result.stderr
    assert "counted for 3 slides; 1 slide as 6 each, the mean of 3" in result.stdout


def test_an_encoder_without_weights_is_told_and_assumed(project, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path / "cache"))
    project.write_text(
        PROJECT.replace('["efficientnet_lite0"]', '["efficientnet_lite0", "uni_v1"]').replace(
            'slide_encoders = ["mean-efficientnet_lite0"]', ""
        )
    )

    result = estimate(project, "--measure", "--slides", "1")

    assert result.exit_code == 0
    assert "not measured: uni_v1: no weights" in result.stderr
    assert "Some rates are assumed" in result.stdout


def test_a_project_without_patches_measures_no_encoder(project):
    for file in (project.parent / "slides").iterdir():
        paint_slide(file, white(600, 600))

    result = estimate(project, "--measure")

    assert result.exit_code == 0
    assert "not measured: the encoders of the geometry, as no slide has patches" in result.stderr


def test_without_a_project_it_is_wrong_usage(tmp_path):
    result = estimate(tmp_path / "atlaspatch.toml")

    assert result.exit_code == 2
    assert "there is no project file; 'atlaspatch init' writes one" in " ".join(result.stderr.split())


def test_without_slides_it_fails_in_one_line(project):
    for file in (project.parent / "slides").iterdir():
        file.unlink()

    result = estimate(project)

    assert result.exit_code == 1
    assert "no slide found" in result.stderr


def test_measures_that_cannot_be_kept_are_not_taken(project):
    (project.parent / "output").write_text("a file where a folder belongs")

    result = estimate(project, "--measure")

    assert result.exit_code == 1
    assert "Measuring" not in result.stderr
    assert "choose another output or change its permissions" in result.stderr


def test_slides_are_taken_from_small_to_large(tmp_path):
    found = []
    for size in (5, 1, 4, 2, 3):
        path = tmp_path / f"s{size}.svs"
        path.write_bytes(bytes(size))
        found.append(SlideSource(path.stem, path))

    assert [source.stem for source in sample_by_size(found, 3)] == ["s2", "s3", "s4"]
    assert [source.stem for source in sample_by_size(found, 1)] == ["s3"]
    assert [source.stem for source in sample_by_size(found, 9)] == ["s1", "s2", "s3", "s4", "s5"]


def sources(project: Path) -> list[SlideSource]:
    return [SlideSource(path.stem, path) for path in sorted((project.parent / "slides").iterdir())]

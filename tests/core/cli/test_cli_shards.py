"""``--shard`` of ``encode-slide`` and ``run``: parts of a folder, by hand or by the task of a Slurm array."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_projects import break_slide, paint

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.main import cli
from atlaspatch_core.validity.outcome import Outcome

COMMANDS = {
    "encode-slide": ["slides", "-o", "out", "--patch-size", "256", "--target-mag", "20", "--device", "cpu"],
    "run": ["--task", "coords", "--wsi-dir", "slides", "--job-dir", "out", "--patch-size", "256", "--skip-errors"],
}
MORE = {"encode-slide": ["--patch-encoders", "efficientnet_lite0"], "run": ["--segmenter", "otsu", "--gpus", "-1"]}


@pytest.fixture(autouse=True)
def slides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "slides"


def call(command: str, *more: str, hooks: Hooks | None = None) -> Result:
    return CliRunner().invoke(cli, [command, *COMMANDS[command], *MORE[command], *more], obj=hooks)


def segment(*more: str, hooks: Hooks | None = None) -> Result:
    """Run the first stage alone, which loads no network."""
    words = [*COMMANDS["run"], *MORE["run"], *more]
    words[1] = "seg"
    return CliRunner().invoke(cli, ["run", *words], obj=hooks)


def made() -> set[str]:
    return {path.stem for path in Path("out", "contours_geojson").glob("*.geojson")}


@pytest.mark.quick
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("text", ["0/0", "5/4", "words"])
def test_what_is_no_part_is_wrong_usage_in_one_sentence(slides: Path, command: str, text: str):
    slides.mkdir()

    result = call(command, "--shard", text)

    assert result.exit_code == 2
    assert result.output.splitlines()[-1].endswith("is no part: give i/n with i from 1 to n, such as 3/8")
    assert not Path("out").exists()


@pytest.mark.quick
def test_an_array_without_a_count_is_wrong_usage(slides: Path, monkeypatch: pytest.MonkeyPatch):
    slides.mkdir()
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")

    result = segment()

    assert result.exit_code == 2
    assert "SLURM_ARRAY_TASK_COUNT is not set" in result.output


def test_parts_make_all_slides_and_only_that_of_a_failed_one_fails(slides: Path):
    paint(slides, "a", "b", "c", "d")
    break_slide(slides, "broken")

    results = [segment("--shard", f"{number}/3") for number in (1, 2, 3)]

    assert made() == {"a", "b", "c", "d"}
    assert sorted(result.exit_code for result in results) == [0, 0, 1]
    (failed,) = [result for result in results if result.exit_code]
    assert "broken" in failed.output
    assert all(f"Shard {number}/3: " in result.output for number, result in enumerate(results, start=1))


def test_a_task_takes_its_part_and_a_single_slide_is_not_divided(slides: Path, monkeypatch: pytest.MonkeyPatch):
    paint(slides, "a")
    for name, value in {"ID": 4, "COUNT": 3, "MIN": 0, "MAX": 4, "STEP": 2}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))

    alone = segment()
    paint(slides, "b", "c")
    last = segment()

    assert "Shard 3/3 (SLURM_ARRAY_TASK_ID 4): one slide is not divided" in alone.output
    assert "Shard 3/3 (SLURM_ARRAY_TASK_ID 4): 1 of 3 slides, 16 of 48 expected patches" in last.output


def test_a_part_of_nothing_is_done_and_dagster_is_told_of_no_part(slides: Path):
    paint(slides, "a")
    told: list[Outcome] = []
    hooks = Hooks(report=lambda _, outcome: told.append(outcome))

    results = [segment("--shard", f"{number}/2", hooks=hooks) for number in (1, 2)]

    assert [result.exit_code for result in results] == [0, 0], [result.output for result in results]
    assert made() == {"a"}
    assert told == []


def test_slides_that_come_between_two_parts_are_made_by_a_run_over_all(slides: Path):
    paint(slides, "b", "c", "d")
    segment("--shard", "1/2")
    paint(slides, "a", "e")
    segment("--shard", "2/2")

    last = segment()

    assert last.exit_code == 0, last.output
    assert made() == {"a", "b", "c", "d", "e"}

"""``atlaspatch slurm``: a script that bash understands and that makes the project, task by task."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from paths import ROOT
from project_files import project_text
from small_projects import paint

from atlaspatch_core.cli.main import cli

PROGRAM = f"""#!/bin/sh
PYTHONPATH={ROOT} exec {sys.executable} -c "from atlaspatch_assets.cli.main import main; main()" "$@"
"""
ECHO = '#!/bin/sh\nprintf "%s\\n" "$@"\n'


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder whose name has a blank and a quote."""
    folder = tmp_path / "Lena's lab"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "atlaspatch.toml").write_text(project_text())
    paint(folder / "slides", "a", "b", "c")
    write_program(folder / "venv" / "bin" / "atlaspatch", PROGRAM)
    return folder


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def write_script(*more: str) -> Result:
    return CliRunner().invoke(cli, ["slurm", *more])


def run_task(script: Path, number: int, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run the body of the script as a task of an array, without Slurm."""
    own = {"PATH": f"{path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": str(number), "SLURM_CPUS_PER_TASK": "1"}
    environment = {**os.environ, **own, "SLURM_ARRAY_TASK_COUNT": "1", "DAGSTER_HOME": ""}
    return subprocess.run(["bash", script], env=environment, capture_output=True, text=True)


@pytest.mark.e2e
def test_the_script_is_bash_and_its_tasks_make_every_slide_once(lab: Path):
    wrote = write_script("--tasks", "2", "--gpus", "0", "--environment", "venv", "--to", "encode.sbatch")

    assert wrote.exit_code == 0, wrote.output
    script = lab / "encode.sbatch"
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    assert len(script.read_text().splitlines()) <= 20
    assert (lab / "slurm-logs").is_dir()
    tasks = [run_task(script, number) for number in (1, 2)]
    assert [task.returncode for task in tasks] == [0, 0], [task.stderr for task in tasks]
    assert "Shard 1/2: 2 of 3 slides" in tasks[0].stderr
    assert "Shard 2/2: 1 of 3 slides" in tasks[1].stderr
    assert sorted(path.stem for path in (lab / "output" / "patches").iterdir()) == ["a", "b", "c"]


def test_a_container_sees_all_folders_and_tasks_have_weights_and_a_local_cache(lab: Path):
    write_program(lab / "bin" / "apptainer", ECHO + 'env | grep -E "^(HF|TORCH|ATLASPATCH)_"\n')
    (lab / "image.sif").touch()
    (lab / "weights").mkdir()

    write_script("--tasks", "3", "--container", "image.sif", "--weights", "weights", "--to", "encode.sbatch")
    words = run_task(lab / "encode.sbatch", 3, str(lab / "bin")).stdout.splitlines()

    assert words[:2] == ["exec", "--nv"]
    bound = {word for before, word in pairwise(words) if before == "--bind"}
    assert bound == {str(lab), str(lab / "output"), str(lab / "slides"), str(lab / "weights")}
    image = words.index(str(lab / "image.sif"))
    command = ["atlaspatch", "materialize", "--project", str(lab / "atlaspatch.toml"), "--shard", "3/3"]
    assert words[image + 1 : image + 7] == command
    assert {f"HF_HUB_CACHE={lab}/weights/hub", f"TORCH_HOME={lab}/weights/torch", "HF_HUB_OFFLINE=1"} <= set(words)


@pytest.mark.quick
def test_options_of_slurm_stand_in_the_script_and_the_record_is_a_dependent_job(lab: Path):
    script = write_script("--partition", "gpu", "--account", "lab", "--sbatch=--qos=long", "--time", "8:00:00").output

    for directive in (
        "--array=1-8",
        "--partition=gpu",
        "--account=lab",
        "--qos=long",
        "--gres=gpu:1",
        "--cpus-per-task=8 --mem=32G --time=8:00:00",
        "--requeue --open-mode=append",
    ):
        assert f"#SBATCH {directive}\n" in script
    assert "# 3 slides in 8 tasks of 0 to 16 expected patches each\n" in script
    assert "sbatch --dependency=afterany:JOB --wrap " in script
    assert "record --project" in script


@pytest.mark.quick
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--memory", "3 G"), "memory is '3 G', which a line of #SBATCH cannot hold"),
        (("--sbatch", "--qos=a\n#SBATCH --x"), "sbatch is "),
        (("--time", "$(date)"), "time is '$(date)'"),
        (("--container", "atlaspatch.toml", "--environment", "venv"), "container and environment are two places"),
        (("--tasks", "0"), "0 is not in the range"),
    ],
)
def test_what_no_script_can_say_is_wrong_usage(lab: Path, words: tuple[str, ...], sentence: str):
    result = write_script(*words, "--to", "encode.sbatch")

    assert result.exit_code == 2
    assert sentence in result.output
    assert not (lab / "encode.sbatch").exists()

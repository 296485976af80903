"""The script of ``atlaspatch slurm`` on a real Slurm: an array of four, a task requeued in the middle, then record."""

import sys
from pathlib import Path

import dagster as dg
import pytest
from paths import ROOT
from plugins import TINY_ENCODER
from processes import run_cli
from project_files import project_text
from slurm import Slurm, slurm_cluster
from small_projects import break_slide, paint
from waiting import until

pytestmark = pytest.mark.e2e

TASKS, REQUEUED = 4, 2
SMALL = ("--gpus", "0", "--cpus", "1", "--memory", "500M")
STEMS = [f"slide_{number}" for number in range(8)]
PROGRAM = f"""#!/bin/sh
PYTHONPATH={ROOT} exec {sys.executable} -c "from atlaspatch_assets.cli.main import main; main()" "$@"
"""
PLUGIN = """
import os
import time
from pathlib import Path

from atlaspatch_core.encoders.declaration import SlideEncoder

HERE = Path(__file__).parent


def wait_at_gate(network, features, coords, patch_size_level0):
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    while (HERE / f"gate_{task}").exists():
        (HERE / f"reached_{task}").touch()
        time.sleep(0.05)
    return features.mean(axis=0)


SLIDE_ENCODERS = [SlideEncoder(name="gated", patch_encoder="tiny", dim=3, forward=wait_at_gate, license="CC0-1.0")]
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A project in a folder whose name has a blank: eight slides, and one that does not open."""
    lab = tmp_path / "the lab"
    lab.mkdir()
    text = project_text(geometry='slide_encoders = ["gated"]\nprecision = "float32"', runtime="threads = 1")
    (lab / "atlaspatch.toml").write_text(text.replace("output =", 'plugins = ["plugin.py"]\noutput =', 1))
    (lab / "plugin.py").write_text(TINY_ENCODER + PLUGIN)
    paint(lab / "slides", *STEMS)
    break_slide(lab / "slides", "broken")
    program = lab / "venv" / "bin" / "atlaspatch"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return lab


def test_an_array_with_a_requeued_task_makes_all_and_a_dependent_job_records_it(lab: Path, tmp_path: Path):
    script = ("--environment", "venv", "--to", "encode.sbatch")
    wrote = run_cli("slurm", "--tasks", TASKS, *SMALL, *script, folder=lab)
    assert wrote.returncode == 0, wrote.stderr
    (lab / f"gate_{REQUEUED}").touch()
    (tmp_path / "cluster").mkdir()

    with slurm_cluster(tmp_path / "cluster") as slurm:
        job = slurm.call("sbatch", "--parsable", lab / "encode.sbatch").strip()
        record = submit_record(slurm, lab, job, tmp_path / "home")
        until("the task is at work", (lab / f"reached_{REQUEUED}").exists)
        slurm.call("scontrol", "requeue", f"{job}_{REQUEUED}")
        (lab / f"gate_{REQUEUED}").unlink()
        until("all jobs have ended", slurm.is_idle, pause=0.5)

    logs = {number: (lab / "slurm-logs" / f"{job}_{number}.log").read_text() for number in range(1, TASKS + 1)}
    assert all(f"Shard {number}/4: " in log for number, log in logs.items()), logs
    assert logs[REQUEUED].count("Shard 2/4: ") == 2
    assert sorted(path.stem for path in (lab / "output" / "patches").iterdir()) == STEMS
    check_recorded(tmp_path / "home", (tmp_path / f"record_{record}.log").read_text())


def submit_record(slurm: Slurm, lab: Path, job: str, home: Path) -> str:
    """Submit what the script says is to follow, and return its number."""
    (line,) = [line for line in (lab / "encode.sbatch").read_text().splitlines() if "--dependency" in line]
    command = line.partition(" sbatch ")[2].replace("JOB", job)
    log = home.parent / "record_%j.log"
    more = f"--parsable --output='{log}' --export=ALL,DAGSTER_HOME='{home}'"
    return slurm.call("bash", "-c", f"sbatch {more} {command}").strip()


def check_recorded(home: Path, log: str) -> None:
    assert "Dagster was told of 40 results and 1 failure of 9 slides." in log
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey(["slide_embedding", "gated"])) == set(STEMS)
        assert set(instance.get_dynamic_partitions("slides")) == {*STEMS, "broken"}


def test_doctor_tries_the_shared_folder_from_a_second_node(lab: Path, tmp_path: Path):
    (tmp_path / "cluster").mkdir()
    with slurm_cluster(tmp_path / "cluster") as slurm:
        done = run_cli("doctor", folder=lab, environment=slurm.environment)
    assert "✓ sharing: this process and another node exclude each other by locks" in done.stdout, done
    assert "✓ sharing: files that are replaced are seen by another node" in done.stdout

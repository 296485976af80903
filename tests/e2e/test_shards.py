"""Eight processes on one folder, each with its part; one is killed, one stands still: nothing is lost or made twice."""

import json
import re
import signal
from pathlib import Path

import pytest
from commands_that_write import contents
from kept_results import temporaries
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER
from processes import Child, run_cli, start_cli
from waiting import until

pytestmark = pytest.mark.e2e

SHARDS, KILLED, SLOW = 8, 3, 6
PLUGIN = """
import os
import time
from pathlib import Path

from atlaspatch_core.encoders.declaration import SlideEncoder

HERE = Path(__file__).parent
CALLS = []


def wait_at_gate(network, features, coords, patch_size_level0):
    CALLS.append(1)
    number = os.environ.get("NUMBER", "")
    while len(CALLS) == 2 and (HERE / f"gate_{number}").exists():
        (HERE / f"reached_{number}").touch()
        time.sleep(0.01)
    return features.mean(axis=0)


SLIDE_ENCODERS = [SlideEncoder(name="gated", patch_encoder="tiny", dim=3, forward=wait_at_gate, license="CC0-1.0")]
"""
"""An encoder of slides that waits at its second slide as long as there is a gate for its process."""
OPTIONS = "--patch-size 256 --target-mag 20 --device cpu --feature-precision float32 --feature-plugin plugin.py"
WORDS = ("encode-slide", "slides", *OPTIONS.split(), "--slide-encoders", "gated")


def start_shard(folder: Path, number: int) -> Child:
    words = (*WORDS, "-o", "out", "--shard", f"{number}/{SHARDS}")
    return start_cli(*words, folder=folder, environment={"NUMBER": str(number)})


def stems_of_shard(folder: Path, number: int) -> set[str]:
    plan = run_cli(*WORDS, "-o", "out", "--shard", f"{number}/{SHARDS}", "--dry-run", folder=folder).stdout
    return set(re.findall(r"^(\d\d): ", plan, re.MULTILINE))


def embedded(folder: Path) -> set[str]:
    """Return the slides whose embedding is noted."""
    return {stem for (stem, task), count in attempts(folder).items() if task == "slide_features:gated" and count}


def attempts(folder: Path) -> dict[tuple[str, str], int]:
    """Return slide and task to how often it was done."""
    states = [json.loads(path.read_bytes()) for path in (folder / "wsi_states").glob("*__*.json")]
    return {
        (state["slide"]["name"], name): len(task["attempts"])
        for state in states
        for name, task in state["tasks"].items()
    }


def test_eight_processes_make_what_one_makes_though_one_is_killed(tmp_path: Path):
    (tmp_path / "slides").mkdir()
    for number in range(2 * SHARDS):
        pixels = stain(white(512 + 256 * (number % 3), 512), 0, 0, 512, 256)
        paint_slide(tmp_path / "slides" / f"{number:02}.svs", pixels)
    (tmp_path / "plugin.py").write_text(TINY_ENCODER + PLUGIN)
    for held in (KILLED, SLOW):
        (tmp_path / f"gate_{held}").touch()
    part = stems_of_shard(tmp_path, KILLED)

    shards = {number: start_shard(tmp_path, number) for number in range(1, SHARDS + 1)}
    for held in (KILLED, SLOW):
        until(f"shard {held} is at its second slide", (tmp_path / f"reached_{held}").exists)
    until("the first of those that will be killed is noted", lambda: embedded(tmp_path / "out") & part)
    shards[KILLED].kill()
    shards[SLOW].send_signal(signal.SIGSTOP)
    others = [shards[number] for number in shards if number not in (KILLED, SLOW)]
    ended = [(shard.communicate(), shard.wait()) for shard in others]
    (tmp_path / f"gate_{SLOW}").unlink()
    shards[SLOW].send_signal(signal.SIGCONT)
    shards[SLOW].communicate()

    assert [code for _, code in ended] == [0] * 6, ended
    assert (shards[KILLED].wait(), shards[SLOW].wait()) == (-signal.SIGKILL, 0)
    (tmp_path / f"gate_{KILLED}").unlink()
    again = run_cli(*WORDS, "-o", "out", "--shard", f"{KILLED}/{SHARDS}", folder=tmp_path)
    assert "2 slides: 1 computed, 1 reused, 0 failed" in again.stdout, again
    check_folder(tmp_path)


def check_folder(folder: Path) -> None:
    """Assert that the folder is that of a single process, but for its history, and that nothing was made twice."""
    alone = run_cli(*WORDS, "-o", "alone", folder=folder)
    assert "16 slides: 16 computed" in alone.stdout, alone
    assert contents(folder / "out") == contents(folder / "alone")
    names = {path.name for path in (folder / "out").iterdir()}
    assert names - {".index"} == {path.name for path in (folder / "alone").iterdir()} - {".index"}
    assert not temporaries(folder / "out")
    counts = attempts(folder / "out")
    assert max(counts.values()) == 1
    assert len({stem for (stem, _), count in counts.items() if count == 0}) <= 1, "only the killed slide was not noted"
    assert attempts(folder / "out").keys() == attempts(folder / "alone").keys()
    runs = [json.loads(path.read_bytes())["status"] for path in (folder / "out" / "runs").iterdir()]
    assert sorted(runs) == ["completed"] * 8 + ["killed"]
    assert (folder / "out" / "summary.md").read_text().count("\n## ") == 9

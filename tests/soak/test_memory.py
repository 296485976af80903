"""Many slides in one process: after the first ones neither memory grows, nor what is open."""

import csv
from pathlib import Path

import pytest
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER
from processes import start_code
from rounds import SOAK_MINUTES

COUNT, WARM = (300, 50) if SOAK_MINUTES else (24, 12)
"""Slides in all, and those after which nothing grows."""
MOST_MEGABYTES = 40
"""By which this process and those that it started may grow from then on: allocators never give all back."""
AHEAD = 4
"""Files and threads of slides that are read ahead, more or fewer at any moment; one left open by each slide is more."""
CODE = """
import os, sys
from contextlib import suppress
from pathlib import Path
from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.outcome import Status
from atlaspatch_core.validity.recipe import make_recipe

def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)

def family():
    pids = [os.getpid()]
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # a thread that has ended since
                pids += map(int, (task / "children").read_text().split())
    return pids

folder = Path(sys.argv[1])
project = make_project({
    "output": folder / "out", "slides": {"folders": [folder / "slides"]}, "plugins": (folder / "plugin.py",),
    "geometry": ({"patch_size": 128, "target_mag": 20, "precision": "float32",
        "slide_encoders": ("mean-tiny",)},),
    "runtime": {"device": "cpu", "threads": 1, "read_workers": 2},
}, origin="test")
seen = set()
for outcome in process(find_slides(project).sources, make_recipe(project)):
    assert outcome.status is Status.COMPUTED, outcome.why
    if outcome.stem in seen:
        continue
    seen.add(outcome.stem)
    facts = [status_of(pid) for pid in family()]
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in family())
    kilobytes = sum(int(fact["RssAnon"].split()[0]) for fact in facts)
    threads = sum(int(fact["Threads"]) for fact in facts)
    shared = len([name for name in os.listdir("/dev/shm") if name.startswith(("atlaspatch", "psm_"))])
    print(len(seen), kilobytes, files, threads, len(facts), shared, sep=",", flush=True)
"""


@pytest.mark.e2e
@pytest.mark.soak
def test_many_slides_in_one_process_take_no_more_than_few(tmp_path: Path):
    (tmp_path / "slides").mkdir()
    (tmp_path / "plugin.py").write_text(TINY_ENCODER)
    for number in range(COUNT):
        paint_slide(tmp_path / "slides" / f"{number:03d}.svs", stain(white(512, 512), 64, 64, 256 + number % 99, 320))
    with start_code(CODE, tmp_path) as process:
        out, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    rows = [list(map(int, row)) for row in csv.reader(out.splitlines())]
    assert len(rows) == COUNT
    warm, late = rows[:WARM], rows[WARM:]
    assert max(row[1] for row in late) < max(row[1] for row in warm) + 1024 * MOST_MEGABYTES, rows
    for column, name in enumerate(("open files", "threads", "processes", "shared memory"), 2):
        assert max(row[column] for row in late) <= max(row[column] for row in warm) + AHEAD, f"{name}: {rows}"

"""Slides in parts of about equal work: the same for every process, each slide in one part."""

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, white
from rounds import examples
from small_projects import break_slide, project

from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.shard_slides import slide_weights, take_shard
from atlaspatch_core.discovery.shards import Shard, divide
from atlaspatch_core.errors import InvalidShard

pytestmark = pytest.mark.quick

WEIGHTS = st.dictionaries(st.text(max_size=6), st.integers(1, 10**9), max_size=60)
SIDES = {"a": 256, "b": 512, "c": 768, "d": 1024, "e": 1280}


@given(weights=WEIGHTS, count=st.integers(1, 20), chance=st.randoms(use_true_random=False))
@examples(60)
def test_each_is_in_one_part_and_no_part_is_much_heavier(weights: dict[str, int], count: int, chance: random.Random):
    parts = divide(weights, count)

    assert len(parts) == count
    assert sorted(key for part in parts for key in part) == sorted(weights)
    assert {key: weight for part in parts for key, weight in part.items()} == weights
    heaviest = max(sum(part.values()) for part in parts)
    assert heaviest <= sum(weights.values()) / count + max(weights.values(), default=0)
    shuffled = list(weights.items())
    chance.shuffle(shuffled)
    assert divide(dict(shuffled), count) == parts


@given(first=st.integers(0, 50), step=st.integers(1, 7), count=st.integers(1, 40))
@examples(60)
def test_the_tasks_of_an_array_are_the_parts_wherever_it_begins(first: int, step: int, count: int):
    tasks = [first + place * step for place in range(count)]

    shards = [Shard.of_array(array(task, COUNT=count, MIN=first, MAX=tasks[-1], STEP=step)) for task in tasks]

    assert [(shard.number, shard.count) for shard in shards if shard] == [(i, count) for i in range(1, count + 1)]
    assert f"SLURM_ARRAY_TASK_ID {first}" == (shards[0] and shards[0].origin)


def array(task: object, **more: object) -> Mapping[str, str]:
    """Return Slurm's variables of a task."""
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in {"ID": task, **more}.items()}


def test_outside_of_an_array_there_is_no_part():
    assert Shard.of_array({"SLURM_JOB_ID": "7"}) is None


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (array("x", COUNT=4), "SLURM_ARRAY_TASK_ID is 'x', no number"),
        (array(3), "SLURM_ARRAY_TASK_COUNT is not set"),
        (array(0, COUNT=4), "SLURM_ARRAY_TASK_ID is 0, and the array has 4 tasks from 1"),
        (array(3, COUNT=2, MIN=3, MAX=9, STEP=1), "no row with one step"),
        (array(4, COUNT=3, MIN=1, MAX=5, STEP=2), "no row with one step"),
    ],
)
def test_an_array_that_divides_nothing_evenly_is_refused_with_the_cure(environment: Mapping[str, str], words: str):
    with pytest.raises(InvalidShard, match=words) as refusal:
        Shard.of_array(environment)
    assert "--shard" in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["0/0", "0/4", "5/4", "words", "1", "1/0", "-1/4", "1/4/2", "1.0/2", "", "1/9999999999"]
)
def test_what_is_no_part_is_refused(text: str):
    with pytest.raises(InvalidShard, match=r"give i/n with i from 1 to n, such as 3/8"):
        Shard.parse(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of five slides that open, one that does not, and two files of one stem."""
    folder = tmp_path_factory.mktemp("sharded")
    slides = folder / "slides"
    slides.mkdir()
    for stem, side in SIDES.items():
        paint_slide(slides / f"{stem}.svs", white(side, 256), levels=(1,))
    break_slide(slides, "broken")
    for name in ("twice.svs", "twice.tif"):
        paint_slide(slides / name, white(256, 256), levels=(1,))
    before = time.time() - 60
    for path in slides.iterdir():
        os.utime(path, (before, before))
    return folder


def test_a_slide_weighs_what_its_file_says_and_a_broken_one_its_bytes(folder: Path):
    of = project(folder)

    weights = slide_weights(find_slides(of), of)

    assert weights == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "broken": 1}


def test_what_slides_weigh_is_remembered_and_no_file_is_opened_again(folder: Path):
    of = project(folder)
    weights = slide_weights(find_slides(of), of)
    slide = folder / "slides" / "e.svs"
    content, state = slide.read_bytes(), slide.stat()

    slide.write_bytes(bytes(len(content)))
    os.utime(slide, ns=(state.st_atime_ns, state.st_mtime_ns))
    remembered = slide_weights(find_slides(of), of)
    slide.write_bytes(content)
    os.utime(slide, ns=(state.st_atime_ns, state.st_mtime_ns))

    assert remembered == weights


def test_shards_take_every_slide_once_and_the_first_tells_what_is_left_out(folder: Path):
    of = project(folder)
    dangling = folder / "slides" / "gone.svs"
    dangling.symlink_to("nowhere.svs")
    found = find_slides(of)
    dangling.unlink()

    taken = [take_shard(found, of, Shard(number, 3)) for number in (1, 2, 3)]

    stems = sorted(stem for part in taken for stem in part.discovery.paths)
    assert stems == sorted([*SIDES, "broken", "twice"])
    assert [len(part.discovery.left_out) for part in taken] == [len(found.left_out), 0, 0] == [1, 0, 0]
    assert [part.patches for part in taken] == [(6, 17), (6, 17), (5, 17)]
    assert taken[0].text == "Shard 1/3: 2 of 7 slides, 6 of 17 expected patches"

"""Slides that are copied ahead to a fast disk."""

import os
import shutil
import time
from pathlib import Path

import pytest
from painting import paint_slide, stain, white
from processes import start_code
from waiting import until

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery import staging
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.discovery.staging import Stager
from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import make_recipe


def sources(folder: Path, *stems: str, size: int = 1000) -> list[SlideSource]:
    folder.mkdir(exist_ok=True)
    for number, stem in enumerate(stems):
        (folder / f"{stem}.svs").write_bytes(bytes([number]) * size)
    return [SlideSource(stem, folder / f"{stem}.svs") for stem in stems]


def copies(cache: Path) -> list[str]:
    """Return the names of the copies, also while some are removed."""
    return sorted(name for _, _, names in os.walk(cache) for name in names if name.endswith(".svs"))


def test_slides_come_in_order_with_equal_copies_and_nothing_is_left(tmp_path):
    cache = tmp_path / "cache"
    with Stager(sources(tmp_path / "slow", "a", "b", "c"), cache) as stager:
        seen = []
        for source in stager.in_turn():
            assert source.local is not None
            assert source.local.read_bytes() == source.path.read_bytes()
            assert source.local.name == source.path.name
            seen.append(source.stem)
    assert seen == ["a", "b", "c"]
    assert list(cache.iterdir()) == []


def test_no_more_copies_than_allowed_lie_there_at_once(tmp_path):
    cache = tmp_path / "cache"
    with Stager(sources(tmp_path / "slow", *"abcdef"), cache, most_slides=2) as stager:
        slides = iter(stager)
        first = next(slides)
        until("two copies lie there", lambda: copies(cache) == ["a.svs", "b.svs"])
        time.sleep(0.2)
        assert copies(cache) == ["a.svs", "b.svs"]
        stager.release(first.stem)
        until("the next takes the place", lambda: copies(cache) == ["b.svs", "c.svs"])


def test_what_lies_in_the_cache_folder_already_stays(tmp_path):
    cache = tmp_path / "cache"
    (cache / "mine").mkdir(parents=True)
    (cache / "mine" / "precious.svs").write_bytes(b"1")
    (cache / ".atlaspatch-notes.lock").write_bytes(b"")
    with Stager(sources(tmp_path / "slow", "a"), cache) as stager:
        list(stager.in_turn())
    assert sorted(str(path.relative_to(cache)) for path in cache.rglob("*")) == [
        ".atlaspatch-notes.lock",
        "mine",
        "mine/precious.svs",
    ]


def test_all_files_of_a_slide_are_copied(tmp_path):
    mirax = tmp_path / "m.mrxs"
    mirax.write_bytes(b"index")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "Data0001.dat").write_bytes(b"pixels")
    zarr = tmp_path / "z.zarr"
    (zarr / "0" / "1").mkdir(parents=True)
    (zarr / "0" / "1" / "0.0").write_bytes(b"chunk")
    with Stager([SlideSource("m", mirax), SlideSource("z", zarr)], tmp_path / "cache") as stager:
        for source in stager:
            assert source.local is not None
            assert source.local.exists()
            if source.stem == "m":
                assert (source.local.with_suffix("") / "Data0001.dat").read_bytes() == b"pixels"
            else:
                assert (source.local / "0" / "1" / "0.0").read_bytes() == b"chunk"


def test_a_slide_that_does_not_fit_is_read_where_it_lies(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(staging, "LEAST_FREE", 0)
    slow = sources(tmp_path / "slow", "big", "small")
    with (slow[0].path).open("r+b") as file:
        file.truncate(free * 2)  # sparse
    with Stager(slow, tmp_path / "cache") as stager:
        big, small = list(stager)
    assert big.local is None
    assert small.local is not None
    assert big.notes[0].startswith("there is no room for its copy")
    assert small.notes == ()


def test_slides_that_nobody_reads_are_not_copied(tmp_path):
    slow = sources(tmp_path / "slow", "a", "b")
    with Stager(slow, tmp_path / "cache", is_needed=lambda source: source.stem == "b") as stager:
        assert [source.local is None for source in stager] == [True, False]


def test_a_slide_that_went_away_is_handed_out_as_it_is(tmp_path):
    slow = sources(tmp_path / "slow", "gone", "there")
    slow[0].path.unlink()
    with Stager(slow, tmp_path / "cache") as stager:
        gone, there = list(stager)
    assert (gone.local, there.notes) == (None, ())
    assert gone.notes[0].startswith("was not staged")


def test_leaving_early_removes_everything(tmp_path):
    cache = tmp_path / "cache"
    with Stager(sources(tmp_path / "slow", *"abcd"), cache, most_slides=1) as stager:
        next(iter(stager))
    assert list(cache.iterdir()) == []


def test_a_cache_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(UnwritableOutput, match=r"cache: slides cannot be staged there .*local disk"):
        Stager([], tmp_path / "cache").__enter__()


STAGE_FOR_EVER = """
import sys, time
from pathlib import Path
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.discovery.staging import Stager
with Stager([SlideSource("a", Path(sys.argv[1]))], Path(sys.argv[2])) as stager:
    next(iter(stager))
    print("staged", flush=True)
    time.sleep(600)
"""


@pytest.mark.e2e
def test_copies_of_a_killed_run_are_removed_and_those_of_a_live_one_stay(tmp_path):
    """Copies of a killed run are removed by the next and those of a live one stay."""
    (slow,), cache = sources(tmp_path / "slow", "a"), tmp_path / "cache"
    with start_code(STAGE_FOR_EVER, slow.path, cache) as process:
        try:
            assert process.stdout.readline() == "staged\n"
            with Stager([], cache):
                pass
            assert copies(cache) == ["a.svs"]
        finally:
            process.kill()
    assert copies(cache) == ["a.svs"]
    with Stager([], cache):
        assert copies(cache) == []
    assert list(cache.iterdir()) == []


def test_results_know_the_slide_by_its_own_path_and_are_reused_without_the_cache(tmp_path):
    slow = tmp_path / "slow"
    slow.mkdir()
    path = paint_slide(slow / "a.svs", stain(white(1024, 1024), 128, 128, 512, 768))
    values = {"output": tmp_path / "out", "geometry": ({"patch_size": 256, "target_mag": 20},)}
    recipe = make_recipe(make_project(values, origin="test"))

    def run(slides) -> list[Outcome]:
        return list(process(slides, recipe))

    with Stager([SlideSource("a", path)], tmp_path / "cache") as stager:
        staged = run(stager.in_turn())
    assert {outcome.status for outcome in staged} == {Status.COMPUTED}
    assert staged[0].path == path
    assert not any(b"cache" in file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file())
    assert {outcome.status for outcome in run([SlideSource("a", path)])} == {Status.REUSED}

"""What came into the slide folders since the last look."""

import os
import time
from pathlib import Path

import pytest
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import make_project
from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.arrival import ArrivalCursor, Budget, FolderScan, scan_arrivals
from atlaspatch_core.discovery.find import discover
from atlaspatch_core.discovery.slide_inspector import ArrivalState, ArrivalStatus, SlideInspector
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import SLIDE, make_recipe

LATER = 1000.0
"""Seconds after which every file painted here is at rest and before the watermark."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "slides").mkdir()
    return tmp_path / "slides"


def paint(folder: Path, stem: str, width: int = 512) -> Path:
    return paint_slide(folder / f"{stem}.svs", stain(white(width, 512), 128, 128, 256, 256))


NOTHING_SEEN = ArrivalCursor()


def look(
    folder: Path,
    cursor: ArrivalCursor = NOTHING_SEEN,
    after: float = LATER,
    most: int = 100,
    late=lambda: False,
    **known,
):
    looker = SlideInspector(
        Store(folder.parent / "output"), ArrivalState(**({"slides": ()} | known)), lambda: time.time() + after
    )
    return scan_arrivals(discover([folder]), looker, cursor, Budget(late, most))


def remember(folder: Path, *stems: str) -> None:
    """Look at slides as a run does, so that their records are written."""
    project = make_project({"output": folder.parent / "output"}, origin="test")
    sources = [SlideSource(stem, folder / f"{stem}.svs") for stem in stems]
    list(process(sources, make_recipe(project), steps=[SLIDE]))


def fates(found: FolderScan) -> dict[str, ArrivalStatus]:
    return {arrival.stem: arrival.fate for arrival in found.arrivals}


def test_a_new_slide_that_rests_and_opens_is_ready(folder):
    paint(folder, "a")

    assert fates(look(folder)) == {"a": ArrivalStatus.READY}


def test_a_slide_that_changed_just_now_waits_whatever_its_modification_time(folder):
    paint(folder, "written")
    os.utime(paint(folder, "copied"), (1, 1))

    assert fates(look(folder, after=0)) == {"copied": ArrivalStatus.WAITING, "written": ArrivalStatus.WAITING}


def test_a_slide_that_does_not_open_is_refused_with_the_reason(folder):
    (folder / "bad.svs").write_bytes(b"no slide")

    (arrival,) = look(folder).arrivals

    assert arrival.fate is ArrivalStatus.REFUSED
    assert "bad" in arrival.why


def test_a_slide_of_an_impossible_scale_is_refused(folder):
    paint_slide(folder / "odd.svs", white(512, 512), mpp=500)

    (arrival,) = look(folder).arrivals

    assert arrival.fate is ArrivalStatus.REFUSED
    assert "500" in arrival.why


def test_a_refused_slide_is_not_opened_again_until_its_file_changes(folder):
    (folder / "bad.svs").write_bytes(b"no slide")
    refused = look(folder).arrivals[0].version

    same = look(folder, slides={"bad"}, refused=lambda _: refused)
    paint(folder, "bad")
    whole = look(folder, slides={"bad"}, refused=lambda _: refused)

    assert fates(same) == {"bad": ArrivalStatus.KNOWN}
    assert fates(whole) == {"bad": ArrivalStatus.READY}


def test_a_lost_cursor_makes_no_slide_ready_that_its_record_knows(folder):
    paint(folder, "a")
    remember(folder, "a")

    assert fates(look(folder, ArrivalCursor.read("lost"), slides={"a"})) == {"a": ArrivalStatus.KNOWN}


def test_a_replaced_slide_is_ready_again_with_another_version(folder):
    paint(folder, "a")
    before = look(folder).arrivals[0].version
    remember(folder, "a")

    paint(folder, "a", width=768)
    (arrival,) = look(folder, slides={"a"}).arrivals

    assert arrival.fate is ArrivalStatus.READY
    assert arrival.version != before


def test_a_slide_that_changed_while_a_run_is_on_its_way_waits_and_is_not_forgotten(folder):
    paint(folder, "a")

    running = look(folder, slides={"a"}, running=lambda: {"a"})
    ended = look(folder, running.cursor, after=2 * LATER, slides={"a"})

    assert fates(running) == {"a": ArrivalStatus.WAITING}
    assert fates(ended) == {"a": ArrivalStatus.READY}


def test_what_is_before_the_watermark_is_not_looked_at_again(folder):
    paint(folder, "a")
    remember(folder, "a")

    first = look(folder, slides={"a"})
    second = look(folder, first.cursor, slides={"a"})

    assert fates(first) == {"a": ArrivalStatus.KNOWN}
    assert second.arrivals == ()


def test_a_slide_that_was_away_is_compared_though_its_times_are_old(folder):
    paint(folder, "a")
    passed = ArrivalCursor(watermark=time.time() + LATER)

    assert fates(look(folder, passed, slides={"a"})) == {}
    assert fates(look(folder, passed, slides={"a"}, again={"a"})) == {"a": ArrivalStatus.READY}


def test_a_look_ends_when_enough_is_ready_and_the_next_goes_on(folder):
    for stem in "abc":
        paint(folder, stem)
    known = {"a", "b", "c"}

    first = look(folder, slides=known, most=2)
    second = look(folder, first.cursor, slides=known, most=2)

    assert list(fates(first)) == ["a", "b"]
    assert first.cursor.watermark == 0
    assert list(fates(second)) == ["c"]
    assert second.cursor.watermark > 0


def test_a_look_without_time_finds_nothing_and_loses_nothing(folder):
    paint(folder, "a")

    assert look(folder, late=lambda: True) == FolderScan((), ArrivalCursor())


def test_the_cursor_is_small_and_reads_itself_back():
    cursor = ArrivalCursor(1_700_000_000.123456, 1_700_000_000.5, "/a/long/path/slide.svs", 2.0)

    assert ArrivalCursor.read(cursor.text) == cursor
    assert len(cursor.text) < 200
    assert [ArrivalCursor.read(text) for text in (None, "", "nonsense", "[1]", '{"more": 1}')] == [ArrivalCursor()] * 5


def test_a_cursor_that_an_earlier_version_wrote_goes_on_where_it_was():
    text = '{"settled": 1.5, "started": 2.5, "after": "/a.svs", "held": 3.5}'
    assert ArrivalCursor.read(text) == ArrivalCursor(1.5, 2.5, "/a.svs", 3.5)


def test_a_folder_that_is_one_slide_waits_while_a_file_in_it_is_new(folder):
    store = folder / "z.zarr" / "0"
    store.mkdir(parents=True)
    (store / "0.0").write_bytes(b"chunk")
    os.utime(store / "0.0", (1, 1))

    assert fates(look(folder, after=0)) == {"z": ArrivalStatus.WAITING}
    assert fates(look(folder, after=LATER)) == {"z": ArrivalStatus.REFUSED}


def test_a_slide_is_opened_as_the_project_says(folder):
    paint(folder, "a")
    looker = SlideInspector(Store(folder), ArrivalState(()), lambda: time.time() + LATER, slides=Slides(reader="image"))

    (arrival,) = scan_arrivals(discover([folder]), looker, ArrivalCursor(), Budget(lambda: False, 1)).arrivals

    assert arrival.fate is ArrivalStatus.REFUSED
    assert "Pillow" in arrival.why

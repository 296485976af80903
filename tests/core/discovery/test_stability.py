"""Files at rest, and files that are still being copied."""

import os
import time
from pathlib import Path

import pytest

from atlaspatch_core.discovery.find import discover
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.discovery.stability import is_stable, last_change, leave_copies

pytestmark = pytest.mark.quick


def write(path: Path, content: bytes = b"whole") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def stems(found: Discovery) -> list[str]:
    return [source.stem for source in found.sources]


def append(path: Path):
    """Return a wait in which somebody goes on writing."""

    def wait(seconds: float) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    return wait


def never(seconds: float) -> None:
    raise AssertionError("nothing is to be waited for")


def make_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock go on by a minute: the time of the last change of an inode cannot be set."""
    now = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: now)


def test_slides_that_were_copied_just_before_are_taken(tmp_path):
    write(tmp_path / "a.svs"), write(tmp_path / "b.svs")
    assert stems(leave_copies(discover([tmp_path]))) == ["a", "b"]


def test_a_slide_that_grows_is_left_out_with_the_reason_and_the_others_are_taken(tmp_path):
    write(tmp_path / "a.svs")
    growing = write(tmp_path / "b.svs")
    found = leave_copies(discover([tmp_path]), append(growing))
    assert stems(found) == ["a"]
    assert [left.why for left in found.left_out] == [f"{growing} is still being copied; run again when it is whole"]
    assert found.unseen == ()


def test_a_slide_whose_size_was_reserved_is_seen_by_its_time(tmp_path):
    slide = write(tmp_path / "a.svs")
    found = leave_copies(discover([tmp_path]), lambda _: os.utime(slide, (4e9, 4e9)))
    assert stems(found) == []


@pytest.mark.parametrize(("slide", "data"), [("m.mrxs", "m/Data0001.dat"), ("z.zarr", "z.zarr/0/0.1")])
def test_a_slide_of_many_files_is_still_copied_while_one_comes_in(tmp_path, slide, data):
    write(tmp_path / "m.mrxs"), write(tmp_path / "m" / "Data0000.dat"), write(tmp_path / "z.zarr" / "0" / "0.0")
    found = leave_copies(discover([tmp_path]), lambda _: [write(tmp_path / data)].clear())
    assert [left.path.name for left in found.left_out] == [slide]
    assert len(found.sources) == 1


def test_slides_at_rest_cost_no_wait(tmp_path, monkeypatch):
    write(tmp_path / "a.svs")
    make_old(monkeypatch)
    found = discover([tmp_path])
    assert leave_copies(found, never) == found


def test_a_slide_that_vanished_meanwhile_is_left_to_the_reader(tmp_path):
    slide = write(tmp_path / "a.svs")
    found = discover([tmp_path])
    slide.unlink()
    assert leave_copies(found, never) == found


def test_a_slide_of_many_files_changed_when_one_of_them_did(tmp_path):
    write(tmp_path / "m.mrxs")
    data = write(tmp_path / "m" / "Data0000.dat")
    os.utime(data, (4e9, 4e9))
    assert last_change(tmp_path / "m.mrxs") == 4e9


def test_a_clock_that_is_days_ahead_does_not_keep_a_slide_waiting():
    assert [is_stable(then, 100_000.0) for then in (0.0, 99_990.0, 100_060.0, 300_000.0)] == [True, False, False, True]

"""Placeholders are what the store holds, however many processes look at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bucket import BUCKET

from atlaspatch_core.errors import UnseenSlides
from atlaspatch_core.remote.mirror import mirror
from atlaspatch_core.remote.places import RemotePlace

PLACE = RemotePlace("s3", BUCKET, "cohort")


def files(output: Path) -> dict[str, int]:
    root = PLACE.placeholder(output)
    return {file.relative_to(root).as_posix(): file.stat().st_size for file in root.rglob("*") if file.is_file()}


def test_placeholders_follow_the_store(bucket, tmp_path):
    for key in ("a.svs", "deep/b.svs"):
        bucket.put(f"cohort/{key}", b"12345")
    bucket.put("cohorts/c.svs", b"another prefix")
    mirror(PLACE, tmp_path)
    assert files(tmp_path) == {"a.svs": 5, "deep/b.svs": 5}
    before = (PLACE / "a.svs").placeholder(tmp_path).stat()
    bucket.put("cohort/deep/b.svs", b"54321")
    changed = (PLACE / "deep/b.svs").placeholder(tmp_path).stat().st_mtime_ns
    mirror(PLACE, tmp_path)
    assert (PLACE / "a.svs").placeholder(tmp_path).stat() == before
    assert (PLACE / "deep/b.svs").placeholder(tmp_path).stat().st_mtime_ns != changed
    bucket.remove("cohort/deep/b.svs")
    mirror(PLACE, tmp_path)
    assert files(tmp_path) == {"a.svs": 5}
    assert [path.name for path in PLACE.placeholder(tmp_path).iterdir()] == ["a.svs"]


def test_an_empty_place_is_an_error_and_removes_nothing(bucket, tmp_path):
    bucket.put("cohort/a.svs", b"12345")
    mirror(PLACE, tmp_path)
    bucket.remove("cohort/a.svs")
    with pytest.raises(UnseenSlides, match="there is nothing; check the URL"):
        mirror(PLACE, tmp_path)
    assert files(tmp_path) == {"a.svs": 5}


def test_several_may_look_at_once_while_objects_come_and_go(bucket, tmp_path):
    for number in range(30):
        bucket.put(f"cohort/{number}/a.svs", b"12345")

    def look(round_: int) -> None:
        bucket.put(f"cohort/{round_ % 30}/b.svs", b"1")
        mirror(PLACE, tmp_path)
        bucket.remove(f"cohort/{round_ % 30}/a.svs")
        mirror(PLACE, tmp_path)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(look, range(24)))
    mirror(PLACE, tmp_path)
    assert set(files(tmp_path)) == {key.removeprefix("cohort/") for key in bucket.listed_keys()}

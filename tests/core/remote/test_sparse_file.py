"""What is wanted of an object is there, is right, and was fetched once; nothing else is certain."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from bucket import BUCKET, Faults, giving_up_after
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atlaspatch_core.errors import ReplacedSlide, UnreachableStore
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.sparse_file import BLOCK, LARGEST_GAP, SparseFile, close_holes, sparse_file
from atlaspatch_core.remote.store import head_object

SIZE = 300_001


CONTENT = np.random.default_rng(0).bytes(SIZE)


@pytest.fixture
def content(bucket) -> bytes:
    bucket.put("one.bin", CONTENT)
    return CONTENT


@pytest.fixture
def counted(bucket, content) -> Faults:
    return bucket.faults


def sparse(folder: Path) -> SparseFile:
    return SparseFile.create(folder / "one.bin", head_object(RemotePlace("s3", BUCKET, "one.bin")))


RANGES = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 20_000)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(RANGES, min_size=1, max_size=3))
def test_bytes_that_were_asked_for_are_those_of_the_object(counted, rounds):
    with TemporaryDirectory() as folder:
        file, before = sparse(Path(folder)), counted.bytes_sent
        for ranges in rounds:
            file.need([start for start, _ in ranges], [count for _, count in ranges])
            read = file.path.read_bytes()
            assert len(read) == SIZE
            for start, count in ranges:
                assert read[start : start + count] == CONTENT[start : start + count]
        blocks = {block for ranges in rounds for start, count in ranges for block in _blocks(start, count)}
        bridges = LARGEST_GAP * sum(map(len, rounds))
        assert counted.bytes_sent - before <= (len(blocks) + bridges) * BLOCK


def _blocks(start: int, count: int) -> range:
    stop = min(start + count, SIZE)
    return range(start // BLOCK, -(-stop // BLOCK)) if stop > start else range(0)


def test_nothing_travels_twice_however_many_want_it(bucket, content, tmp_path):
    file = sparse(tmp_path)
    bucket.faults.seconds = 0.05
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: file.need_all(), range(8)))
    assert file.path.read_bytes() == content
    assert bucket.faults.bytes_sent == SIZE


def test_a_second_process_knows_what_the_first_fetched(bucket, content, tmp_path):
    first = sparse(tmp_path)
    first.need([5000], [100_000])
    sent = bucket.faults.bytes_sent
    SparseFile(first.path).need([5000], [100_000])
    assert bucket.faults.bytes_sent == sent


def test_a_whole_file_is_no_sparse_one_any_more(bucket, content, tmp_path):
    path = sparse(tmp_path).path
    assert sparse_file(path) is not None
    close_holes(path)
    assert sparse_file(path) is None
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["one.bin"]


def test_what_a_store_refuses_or_cuts_short_is_asked_for_again(bucket, content, tmp_path):
    bucket.faults.refused, bucket.faults.cut = 0.3, 0.3
    file = sparse(tmp_path)
    for start in range(0, SIZE, 50_000):
        file.need([start], [50_000])
    assert file.path.read_bytes() == content


def test_an_object_that_was_replaced_is_not_mixed_with_what_was_fetched(bucket, content, tmp_path):
    file = sparse(tmp_path)
    file.need([0], [1000])
    bucket.put("one.bin", bytes(SIZE))
    with pytest.raises(ReplacedSlide, match=r"s3://slides/one\.bin was replaced while it was read"):
        file.need([200_000], [1000])
    assert not any(file.path.read_bytes()[200_000:])


def test_a_store_that_is_gone_is_said_to_be_and_may_come_back(bucket, content, tmp_path):
    file = sparse(tmp_path)
    bucket.faults.gone = True
    answer = r"s3://slides/one\.bin cannot be read, its store does not answer"
    with giving_up_after(2), pytest.raises(UnreachableStore, match=answer):
        file.need([0], [1000])
    bucket.faults.gone = False
    file.need([0], [1000])
    assert file.path.read_bytes()[:1000] == content[:1000]

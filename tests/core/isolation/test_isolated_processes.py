"""What may crash is called in a process of its own: results and errors come back, a crash is an error here."""

import errno
import logging
import os
import signal
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import start_code
from rounds import examples
from waiting import until

from atlaspatch_core.discovery.transient import is_transient
from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.isolation.cores import usable_cores, usable_threads
from atlaspatch_core.isolation.leases import isolates, lend_process, return_process, run_isolated
from atlaspatch_core.isolation.process import ProcessDied
from atlaspatch_core.isolation.server import is_isolated


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)  # another thread may be the one that is interrupted


def ramp(count: int) -> tuple[np.ndarray, str]:
    return np.arange(count, dtype=np.int64).reshape(2, -1), "ramp"


def fail_of_storage() -> None:
    try:
        raise OSError(errno.ESTALE, "stale")
    except OSError as error:
        raise UnreadableSlide("a: cannot be read") from error


def write_log() -> None:
    logging.getLogger("atlaspatch_core.test").warning("a: %s", "odd")


def level_there() -> int:
    return logging.getLogger("atlaspatch_core").getEffectiveLevel()


class Unpicklable(Exception):
    def __init__(self, one: int, *, two: int) -> None:
        super().__init__(one, two)
        self.file = sys.stdout


def fail_oddly() -> None:
    raise Unpicklable(1, two=2)


@pytest.mark.quick
def test_a_function_is_called_in_another_process_that_is_used_again():
    first, second = run_isolated(os.getpid), run_isolated(os.getpid)
    assert first == second != os.getpid()
    assert (is_isolated(), run_isolated(is_isolated), run_isolated(isolates)) == (False, True, False)


def test_arrays_come_through_shared_memory_and_can_be_written():
    for count in (10, 100_000, 1_000_000):
        array, name = run_isolated(ramp, count)
        assert (array.sum(), array.shape, name) == (count * (count - 1) // 2, (2, count // 2), "ramp")
        array[0, 0] = 7


def test_memory_that_was_read_is_given_back():
    process = lend_process()
    for _ in range(50):
        process.call(ramp, 1_000_000)
    status = Path(f"/proc/{process.call(os.getpid)}/status").read_text()
    return_process(process)
    shared = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssShmem"))
    assert shared * 1024 < 5 * 8_000_000


def test_errors_come_back_with_what_caused_them():
    with pytest.raises(UnreadableSlide, match="a: cannot be read") as raised:
        run_isolated(fail_of_storage)
    assert is_transient(raised.value)
    with pytest.raises(RuntimeError, match="Unpicklable"):
        run_isolated(fail_oddly)
    with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
        run_isolated(sys.exit, 3)


def test_what_is_logged_there_is_logged_here(caplog):
    with caplog.at_level(logging.WARNING, "atlaspatch_core"):
        run_isolated(write_log)
        until("the record came", lambda: caplog.messages == ["a: odd"])


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_crash_is_an_error_that_names_the_signal_and_the_next_call_works(name: str):
    number = getattr(signal, name)
    with pytest.raises(ProcessDied, match=f"^killed by signal {int(number)}, {name}$"):
        run_isolated(end_by, number)
    assert run_isolated(abs, -1) == 1


def test_a_process_that_ends_by_itself_is_an_error_too():
    with pytest.raises(ProcessDied, match="ended with exit code 3"):
        run_isolated(os._exit, 3)


def test_each_process_is_lent_to_one_at_a_time():
    one, other = lend_process(), lend_process()
    with pytest.raises(ProcessDied):
        one.call(end_by, signal.SIGSEGV)
    assert other.call(abs, -1) == 1
    for process in (one, other):
        return_process(process)


def test_paths_count_from_the_folder_that_the_caller_is_in_now(tmp_path, monkeypatch):
    run_isolated(abs, -1)
    monkeypatch.chdir(tmp_path)
    assert run_isolated(Path.cwd) == tmp_path


VARIABLES = [f"ATLASPATCH_OF_THIS_TEST_{number}" for number in range(3)]


@examples(20)
@given(steps=st.lists(st.dictionaries(st.sampled_from(VARIABLES), st.text("ab=é ", max_size=3)), max_size=4))
def test_it_has_the_environment_and_the_log_level_of_the_caller_as_they_are_now(steps: list[dict[str, str]]):
    logger = logging.getLogger("atlaspatch_core")
    before = logger.level
    for number, variables in enumerate(steps):
        with patch.dict(os.environ, variables):
            logger.setLevel(logging.DEBUG + number)
            there = [run_isolated(os.getenv, name) for name in VARIABLES]
            assert there == [os.getenv(name) for name in VARIABLES]
            assert run_isolated(level_there) == logging.DEBUG + number
    logger.setLevel(before)
    assert [run_isolated(os.getenv, name) for name in VARIABLES] == [None] * 3


KILLED = """
import os, signal
from atlaspatch_core.isolation.leases import run_isolated
print(run_isolated(os.getpid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_with_the_process_that_asks_it_however_that_ends():
    with start_code(KILLED) as process:
        child = int(process.stdout.readline())
    until("it is gone", lambda: not is_running(child))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


FORKED = """
import os
from atlaspatch_core.isolation.leases import run_isolated
before = run_isolated(os.getpid)
if (pid := os.fork()) == 0:
    os._exit(0 if run_isolated(os.getpid) != before else 1)
print(os.waitpid(pid, 0)[1], run_isolated(os.getpid) == before, flush=True)
"""


def test_a_fork_of_the_asking_process_asks_one_of_its_own():
    with start_code(FORKED) as process:
        out, _ = process.communicate()
    assert out.split() == ["0", "True"]


@pytest.mark.parametrize(("stated", "threads"), [("3", 3), ("2,1", 2), ("0", None), ("", None), ("many", None)])
def test_it_computes_with_the_threads_that_the_environment_says(monkeypatch, stated, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert usable_threads() == (threads or usable_cores())


def test_cores_that_were_not_granted_are_not_used():
    granted = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(granted)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, granted)

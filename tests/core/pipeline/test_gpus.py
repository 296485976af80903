"""Processes side by side spread over the GPUs of a machine."""

from processes import Child, start_code

TAKE = """
import sys
from atlaspatch_core.encoders.gpus import free_gpu
print(free_gpu(int(sys.argv[1])), free_gpu(int(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def start(folder, count: int, visible: str = "") -> tuple[Child, list[str]]:
    process = start_code(TAKE, count, environment={"TMPDIR": str(folder), "CUDA_VISIBLE_DEVICES": visible})
    return process, process.stdout.readline().split()


def test_each_process_takes_a_gpu_of_its_own_until_it_ends_even_by_a_kill(tmp_path):
    first, taken_first = start(tmp_path, 2)
    second, taken_second = start(tmp_path, 2)
    third, shared = start(tmp_path, 2)
    assert (taken_first, taken_second) == (["0", "0"], ["1", "1"])
    assert shared in (["0", "0"], ["1", "1"])  # all are taken
    first.kill()
    first.wait()
    fourth, taken_again = start(tmp_path, 2)
    assert taken_again == ["0", "0"]
    for process in (second, third, fourth):
        process.communicate()


def test_gpus_are_known_by_what_the_process_sees(tmp_path):
    first, _ = start(tmp_path, 2, "3,5")
    second, taken = start(tmp_path, 2, "5,3")
    assert taken == ["0", "0"]  # its first is GPU 5, which nobody took
    third, taken = start(tmp_path, 1, "3")
    assert taken == ["0", "0"]  # taken by another process, but there is only one
    for process in (first, second, third):
        process.communicate()

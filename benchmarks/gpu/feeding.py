"""How many reading threads a network needs: the rate of reading patches by threads, held against bare models."""

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median

from atlaspatch_core.isolation.cores import usable_cores
from benchmarks.gpu.encoding import Compared
from benchmarks.gpu.lines import Line
from benchmarks.gpu.setting import Setting, coords_of
from benchmarks.measuring import Measure, in_turns
from benchmarks.reading import Reading, tile_once


def reading_lines(setting: Setting, compared: Sequence[Compared]) -> Iterator[Line]:
    """Yield how reading alone by all threads compares with each bare model, and how many threads keep up with it."""
    rates = reading_rates(setting)
    for one in compared:
        enough = [threads for threads, rate in rates.items() if rate >= one.bare_rate]
        detail = {
            "threads_needed": enough[0] if enough else None,
            "patches_per_second_by_threads": {threads: round(rate) for threads, rate in rates.items()},
            "bare_patches_per_second": round(one.bare_rate, 1),
        }
        yield Measure(f"reading_over_bare_{one.name}", max(rates.values()) / one.bare_rate, ">= 1", detail=detail)


def reading_rates(setting: Setting) -> dict[int, float]:
    """Return number of threads to patches a second that they read of the first slide."""
    coords = coords_of(setting, setting.slides[0])
    side, path = int(coords[0, 2]), setting.slides[0]
    numbers = thread_numbers(usable_cores())
    readings = [Reading(path, coords[:, :2], setting.patch_size, side, threads) for threads in numbers]
    seconds = in_turns([partial(tile_once, reading) for reading in readings], setting.rounds)
    return {threads: len(coords) / median(taken) for threads, taken in zip(numbers, seconds, strict=True)}


def thread_numbers(cores: int) -> list[int]:
    """Return 1, 2, 4 … below the number of cores, and that."""
    return [*(2**power for power in range(cores.bit_length()) if 2**power < cores), cores]

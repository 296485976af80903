"""How busy a GPU is over time, as its driver tells it, while something runs."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from shutil import which
from statistics import mean
from threading import Event, Thread
from time import perf_counter
from typing import Any, Self

from torch import cuda

EVERY = 0.1
"""s between samples. The driver's own figure is of the last 0.1 to 1 s, by the GPU."""
MOST_SAMPLES = 60
"""Of a printed course."""
SECONDS = 10
ReadPercent = Callable[[], float]
"""Returns the share of time in which a kernel ran, percent; raises what it raises where nothing is told."""


@dataclass(slots=True)
class Utilisation:
    """Asks again and again while it is entered; ``samples`` stays empty where nobody is to be asked."""

    read: ReadPercent | None = None
    samples: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, and percent."""
    why: str = "neither nvidia-ml-py nor nvidia-smi is there, or no GPU computed"
    """Why there are no samples."""
    _stop: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def __enter__(self) -> Self:
        if self.read:
            self._thread = Thread(target=self._sample, args=(self.read,), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _sample(self, read: ReadPercent) -> None:
        start = perf_counter()
        while not self._stop.wait(EVERY):
            try:
                self.samples.append((perf_counter() - start, read()))
            except Exception as error:  # a GPU in slices (MIG) tells nothing: said in the line of the measure
                self.why = f"the driver does not tell it: {type(error).__name__}: {error}"
                return


def percent_reader(index: int) -> ReadPercent | None:
    """Return how the GPU of a number in torch is asked: by nvidia-ml-py, or else by nvidia-smi; None without both."""
    if find_spec("pynvml"):
        with suppress(Exception):  # the package without the driver's library, or of another version than that
            return nvml_reader(index)
    return smi_reader(name_of(index)) if which("nvidia-smi") else None


def nvml_reader(index: int) -> ReadPercent:
    """Return a function that asks the driver."""
    import pynvml as library  # pyright: ignore[reportMissingImports]

    nvml: Any = library
    nvml.nvmlInit()
    name = name_of(index)
    by_name = nvml.nvmlDeviceGetHandleByUUID if name.startswith("GPU") else nvml.nvmlDeviceGetHandleByIndex
    handle = by_name(name if name.startswith("GPU") else index)
    return lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)


def smi_reader(name: str) -> ReadPercent:
    """Return a function that asks nvidia-smi."""
    command = ["nvidia-smi", f"--id={name}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    return lambda: float(
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS).stdout.strip()
    )


def name_of(index: int) -> str:
    """Return what the driver calls the GPU of a number in torch, which may see some of them in another order."""
    unique = getattr(cuda.get_device_properties(index), "uuid", None)
    return f"GPU-{unique}" if unique else str(index)


def middle_of(samples: list[tuple[float, float]]) -> list[float]:
    """Return the percentages between the first and the last sample at which the GPU was busy."""
    percents = [percent for _, percent in samples]
    busy = [number for number, percent in enumerate(percents) if percent]
    return percents[busy[0] : busy[-1] + 1] if busy else []


def course(samples: list[tuple[float, float]]) -> list[list[float]]:
    """Return at most 60 pairs of seconds and percent: the means of as many equal stretches of the samples."""
    size = -(-len(samples) // MOST_SAMPLES) or sys.maxsize
    stretches = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [[round(part[0][0], 1), round(mean(percent for _, percent in part), 1)] for part in stretches]

"""How busy a GPU is over time, as its driver tells it, while something runs."""

import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from shutil import which
from statistics import mean
from threading import Thread
from time import perf_counter
from typing import Self

from torch import cuda

EVERY = 100
"""ms between samples. The driver's own figure is of the last 100 to 1,000 ms, by the GPU."""
MOST_SAMPLES = 60
"""Of a printed course."""


@dataclass(slots=True)
class Utilisation:
    """Samples nvidia-smi while it is entered; ``samples`` stays empty where that is not there."""

    index: int
    """The GPU's number in torch."""
    samples: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, and the share of time in which a kernel ran, percent."""
    _process: "subprocess.Popen[str] | None" = None
    _reader: Thread | None = None

    def __enter__(self) -> Self:
        if which("nvidia-smi"):
            command = ["nvidia-smi", f"--id={name_of(self.index)}", "--query-gpu=utilization.gpu"]
            command += ["--format=csv,noheader,nounits", f"--loop-ms={EVERY}"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self._reader = Thread(target=self._read, args=(perf_counter(),), daemon=True)
            self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._reader:
            self._process.terminate()
            self._process.wait()
            self._reader.join()

    def _read(self, start: float) -> None:
        assert self._process
        assert self._process.stdout
        for line in self._process.stdout:
            with suppress(ValueError):  # [N/A], of a GPU in slices
                self.samples.append((perf_counter() - start, float(line)))


def name_of(index: int) -> str:
    """Return what nvidia-smi calls the GPU of a number in torch, which may see some of them in another order."""
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

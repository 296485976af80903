"""What a device did over time, out of a trace of torch's profiler: kernels, copies, and whether they overlap."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Spans = NDArray[np.float64]
"""Shape (n, 2): begin and end, µs."""


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """All copies of one direction."""

    spans: Spans
    bytes: int
    pinned_bytes: int
    """Those of them from, or to, memory that the host has pinned: others hold up the host."""


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """What a device did between the first kernel and the last one."""

    kernels: Spans
    uploads: Copies
    downloads: Copies

    @property
    def busy(self) -> float:
        """Return in which share of the time between the first kernel and the last one a kernel ran."""
        if not len(self.kernels):
            return 0.0
        return float(_length(self.kernels) / (self.kernels[:, 1].max() - self.kernels[:, 0].min()))

    def hidden(self, copies: Copies) -> float:
        """Return in which share of the time of copies a kernel ran, too; 1 is that copying costs nothing."""
        total = _length(copies.spans)
        return float(covered(copies.spans, self.kernels) / total) if total else 1.0


def read_trace(path: Path) -> Activity:
    """Return the activity of a trace that ``export_chrome_trace`` wrote."""
    return activity_of(json.loads(path.read_text(encoding="utf-8"))["traceEvents"])


def activity_of(events: Iterable[Mapping[str, Any]]) -> Activity:
    """Return the activity of the events of a trace."""
    events = [event for event in events if event.get("ph") == "X"]
    copies = [event for event in events if event.get("cat") == "gpu_memcpy"]
    kernels = _spans(event for event in events if event.get("cat") == "kernel")
    return Activity(kernels, _copies(copies, "HtoD"), _copies(copies, "DtoH"))


def _copies(events: Iterable[Mapping[str, Any]], direction: str) -> Copies:
    own = [event for event in events if direction in event["name"]]
    sizes = [int(event["args"]["bytes"]) for event in own]
    pinned = [size for size, event in zip(sizes, own, strict=True) if "Pinned" in event["name"]]
    return Copies(_spans(own), sum(sizes), sum(pinned))


def _spans(events: Iterable[Mapping[str, Any]]) -> Spans:
    spans = [(float(event["ts"]), float(event["ts"]) + float(event["dur"])) for event in events]
    return np.array(spans, np.float64).reshape(-1, 2)


def union(spans: Spans) -> Spans:
    """Return the same time as spans that do not touch, in order."""
    if not len(spans):
        return spans
    spans = spans[np.argsort(spans[:, 0])]
    reach = np.maximum.accumulate(spans[:, 1])
    begins = np.flatnonzero(np.concatenate([[True], spans[1:, 0] > reach[:-1]]))
    ends = np.concatenate([begins[1:] - 1, [len(spans) - 1]])
    return np.stack([spans[begins, 0], reach[ends]], axis=1)


def covered(some: Spans, others: Spans) -> float:
    """Return how much of the time of ``some`` spans lies in ``others``, µs."""
    return _length(some) + _length(others) - _length(np.concatenate([some, others]))


def _length(spans: Spans) -> float:
    return float(np.diff(union(spans), axis=1).sum())

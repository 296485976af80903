"""A network on a CPU, run on micro-batches of two patches, each by one thread. Imports torch.

Where all threads share each layer, every layer ends by waiting for the slowest of them. Beside another busy process one
of them is often not running, and the others wait for it a hundred times. Here each thread takes the next one
when it is done with one, and waits for nobody. The activations of two patches stay in the caches of a core.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Barrier

import torch
from torch import Tensor

MICRO_BATCH = 2
"""Patches that a thread takes at a time."""
Network = Callable[[Tensor], Tensor]


@dataclass(slots=True)
class MicroBatches:
    """Input (b, 3, h, w) to features (b, dim), whose numbers depend neither on b nor on the number of threads."""

    network: Network

    def __call__(self, pixels: Tensor) -> Tensor:
        """Run the network; the last micro-batch is filled up with its last patch."""
        missing = -len(pixels) % MICRO_BATCH
        filled = torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)]) if missing else pixels
        parts, threads = filled.split(MICRO_BATCH), torch.get_num_threads()
        if threads == 1:
            return torch.cat([self.network(part) for part in parts])[: len(pixels)]
        workers = _workers(threads, os.getpid())
        return torch.cat([*workers.map(lambda part: _inferred(self.network, part), parts)])[: len(pixels)]


def _inferred(network: Network, micro_batch: Tensor) -> Tensor:
    with torch.inference_mode():  # of the thread
        return network(micro_batch)


@cache
def _workers(count: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Return threads that compute alone each; the number that torch takes in other threads stays as it is."""
    together = Barrier(count)
    workers = ThreadPoolExecutor(count, "micro batches", initializer=_compute_alone)
    for started in [workers.submit(together.wait) for _ in range(count)]:
        started.result()
    torch.set_num_threads(count)  # which is also what threads begin with that come later
    return workers


def _compute_alone() -> None:
    """Let this thread compute without others."""
    torch.get_num_threads()  # a thread takes the number of the process when it first asks, and would later
    torch.set_num_threads(1)

"""How many patches encoders take at once: what the user says, or what was measured on the device, once."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from atlaspatch_core.encoders.batch_search import MOST, search
from atlaspatch_core.encoders.preprocessing import input_side
from atlaspatch_core.encoders.weights import cache_folder, write_cached
from atlaspatch_core.fingerprint import canonical_json

if TYPE_CHECKING:
    from torch import Tensor

    from atlaspatch_core.encoders.loaded import LoadedPatchEncoder

log = logging.getLogger(__name__)

BatchSize = int | Literal["auto"]
USUAL = 32
"""Patches at once where nothing is measured."""
ROUNDS = 5
MOST_BYTES = 128 * 2**20
"""Of the pixels of a batch, as they are read."""
SHARE_OF_MEMORY = 0.7
"""Of a device, which a batch may take: the rest is for batches under way, and for what else runs there."""


def batch_size_of(stated: BatchSize, models: "Sequence[LoadedPatchEncoder]", patch_size: int) -> int:
    """Return how many patches of so many px a side these encoders take at once.

    ``auto`` is the largest of what suits each; on a CPU 32, or enough for every thread to have a micro-batch.
    """
    if stated != "auto":
        return stated
    most = min(MOST, max(1, MOST_BYTES // (3 * patch_size**2)))
    return min(most, max(_suited(model, patch_size) for model in models))


def _suited(model: "LoadedPatchEncoder", patch_size: int) -> int:
    import torch

    if model.device.type == "cpu":
        from atlaspatch_core.encoders.micro_batches import MICRO_BATCH

        return max(USUAL, MICRO_BATCH * torch.get_num_threads())
    return _searched(model, patch_size) if model.device.type == "cuda" else USUAL


def _searched(model: "LoadedPatchEncoder", patch_size: int) -> int:
    """Return what was measured for an encoder on this kind of device in this precision; measure where nothing was."""
    side = input_side(model.encoder.transform) or patch_size
    memo = _memo(model, side)
    if (size := _remembered(memo)) is None:
        size = search(lambda count: rate_of(model, count, side))
        write_cached(memo, str(size))
        log.info("%s: batches of %d suit this device", model.encoder.name, size)
    return size


def rate_of(model: "LoadedPatchEncoder", count: int, side: int) -> float | None:
    """Return patches per second of an encoder's network on batches of so many; None where memory is short.

    The network is measured as it is, however it is optimized later.
    """
    import torch

    cuda = model.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(model.device)
    kind = torch.uint8 if model.encoder.transform is None else torch.float32
    try:
        with torch.inference_mode():
            pixels = torch.zeros(count, 3, side, side, dtype=kind, device=model.device)
            seconds = [_seconds(model, pixels) for _ in range(ROUNDS + 1)][1:]  # the first run chooses kernels
    except torch.OutOfMemoryError:
        return None
    finally:
        if cuda:
            torch.cuda.empty_cache()
    return count / median(seconds) if _share_of_memory(model) <= SHARE_OF_MEMORY else None


def _seconds(model: "LoadedPatchEncoder", pixels: "Tensor") -> float:
    from atlaspatch_core.encoders.autotuning import plain_network, wait_for

    wait_for(pixels)
    since = perf_counter()
    plain_network(model.forward)(pixels)
    wait_for(pixels)
    return perf_counter() - since


def _share_of_memory(model: "LoadedPatchEncoder") -> float:
    """Return how much of its device's memory this process has needed at most since the peak was reset, 0 to 1."""
    import torch

    if model.device.type != "cuda":
        return 0.0
    return torch.cuda.max_memory_allocated(model.device) / torch.cuda.get_device_properties(model.device).total_memory


def _memo(model: "LoadedPatchEncoder", side: int) -> Path:
    """Return the file that keeps a size: of weights, input, precision, kind of device, version of torch."""
    import torch

    device = torch.cuda.get_device_properties(model.device)
    kind = [device.name, device.total_memory, torch.__version__, torch.version.cuda]
    key = canonical_json([model.encoder.spec(), side, model.precision, kind])
    return cache_folder() / "batch" / f"{sha256(key.encode()).hexdigest()}.txt"


def _remembered(memo: Path) -> int | None:
    with suppress(OSError, ValueError):
        size = int(memo.read_text())
        return size if 1 <= size <= MOST else None
    return None

"""Devices and the precision they compute in."""

import logging
import re
from functools import cache
from typing import TYPE_CHECKING

from atlaspatch_core.encoders.declaration import Precision
from atlaspatch_core.encoders.gpus import free_gpu
from atlaspatch_core.errors import InvalidProject

if TYPE_CHECKING:
    from torch import device

log = logging.getLogger(__name__)


def resolve_device(name: str) -> "device":
    """Return the device for ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    ``cuda`` is a GPU that no other process of ours computes on, where the machine has several.
    Where CUDA or MPS is missing it is the CPU, with one warning per process. Raises InvalidProject for other names and
    for a GPU number that the machine does not have.
    """
    import torch

    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise InvalidProject(f"the device {name} is not known; use cpu, cuda, cuda:0 or mps")
    kind = name.partition(":")[0]
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present[kind]:
        _warn_once(f"{name} is not available on this machine; computing on the CPU")
        return torch.device("cpu")
    device = torch.device(name)
    if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidProject(f"the device {name} is not there: this machine has {torch.cuda.device_count()} GPUs")
    if kind == "cuda" and device.index is None and torch.cuda.device_count() > 1:
        return torch.device("cuda", free_gpu(torch.cuda.device_count()))
    return device


def effective_precision(precision: Precision, device: "device") -> Precision:
    """Return the precision that is computed in: float16 on the CPU becomes float32, with one warning per process."""
    if precision not in ("float32", "float16", "bfloat16"):
        raise InvalidProject(f"the precision {precision} is not known; use float32, float16 or bfloat16")
    if precision == "float16" and device.type == "cpu":
        _warn_once("float16 is not computed on a CPU; computing in float32")
        return "float32"
    return precision


@cache
def _warn_once(message: str) -> None:
    log.warning(message)

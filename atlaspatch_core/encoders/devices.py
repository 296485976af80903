"""Devices and the precision they compute in."""

import logging
import sys
from functools import cache
from typing import TYPE_CHECKING

from atlaspatch_core.encoders.declaration import Precision
from atlaspatch_core.encoders.device_names import DEVICE, DEVICES
from atlaspatch_core.encoders.gpus import free_gpu
from atlaspatch_core.encoders.precision import compute_float32_in_full
from atlaspatch_core.errors import InvalidProject, MissingDevice

if TYPE_CHECKING:
    from torch import device

log = logging.getLogger(__name__)


def resolve_device(name: str) -> "device":
    """Return the device for ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    ``auto`` is CUDA where this machine has it, else MPS, else the CPU, which is logged once per process. ``cuda`` is a
    GPU that no other process of ours computes on, where the machine has several. Every network gets its device here, so
    that here CUDA is told to compute float32 in full, not as TF32. Raises MissingDevice for what this machine does not
    have, InvalidProject for other names.
    """
    import torch

    if name == "auto":
        return resolve_device(present_device() or _cpu_for_want_of_a_gpu())
    if fault := device_fault(name):
        raise MissingDevice(fault)
    device = torch.device(name)
    if device.type == "cuda":
        compute_float32_in_full()
    if device.type == "cuda" and device.index is None and torch.cuda.device_count() > 1:
        return torch.device("cuda", free_gpu(torch.cuda.device_count()))
    return device


def device_or_cpu(name: str) -> "device":
    """Return the device, or the CPU where it is not there, without a word: for who may compute nothing."""
    present = (present_device() or "cpu") if name == "auto" else name
    return resolve_device("cpu" if device_fault(present) else present)


def present_device() -> str | None:
    """Return ``cuda`` or ``mps``, whichever this machine has; None where it has neither."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def device_fault(name: str) -> str:
    """Return in a sentence that a device is not there, with the cure; empty where it is, or is ``auto`` or ``cpu``.

    Raises InvalidProject for a name that is no device.
    """
    if not DEVICE.fullmatch(name):
        raise InvalidProject(f"the device {name} is not known; use {DEVICES}")
    if name in ("auto", "cpu"):
        return ""
    import torch

    cure = "name another, or take auto, which computes on the CPU where there is no GPU"
    if name == "mps":
        return "" if torch.backends.mps.is_available() else f"the device mps is not there: no Apple GPU; {cure}"
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}, sees no GPU" if torch.version.cuda else "is built without CUDA"
        return f"the device {name} is not there: torch {torch.__version__} {built}; {cure}"
    count, number = torch.cuda.device_count(), int(name.partition(":")[2] or 0)
    return "" if number < count else f"the device {name} is not there: this machine has {count} GPUs; {cure}"


def is_lost(error: BaseException) -> bool:
    """Tell whether an error of torch says that its device failed, after which this process can compute nothing on it.

    That memory is short is none of these.
    """
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.AcceleratorError) and "out of memory" not in str(error).lower()


def effective_precision(precision: Precision, device: "device") -> Precision:
    """Return the precision that is computed in: float16 on the CPU is float32."""
    if precision not in ("float32", "float16", "bfloat16"):
        raise InvalidProject(f"the precision {precision} is not known; use float32, float16 or bfloat16")
    if precision == "float16" and device.type == "cpu":
        log.info("float16 is not computed on a CPU; computing in float32")
        return "float32"
    return precision


@cache
def _cpu_for_want_of_a_gpu() -> str:
    """Return ``cpu``, and log once that it is taken."""
    log.warning("this machine has no GPU that torch can use (CUDA or MPS): computing on the CPU")
    return "cpu"

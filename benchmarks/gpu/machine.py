"""What the figures were measured on: device, driver, versions, cores, date, command."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from atlaspatch_core.isolation.cores import usable_cores

PACKAGES = ("torch", "torchvision", "timm", "imagecodecs", "nvidia-nvimgcodec-cu12", "nvidia-nvimgcodec-cu13")
SECONDS = 30


def machine(device: str) -> dict[str, Any]:
    """Return all that a table of figures says of a machine; ``gpu`` is None where none was used."""
    import torch

    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
        "device": device,
        "gpu": None,
        "cores": usable_cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": sys.version.split()[0],
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }
    if device == "mps":
        return facts | {"gpu": "Apple GPU (MPS)"}
    if not device.startswith("cuda"):
        return facts | {"note": "no GPU was used: these figures say that the command runs, and nothing of a GPU"}
    return facts | _cuda(torch.device(device).index or 0)


def _cuda(index: int) -> dict[str, Any]:
    import torch

    properties = torch.cuda.get_device_properties(index)
    return {
        "gpu": properties.name,
        "gpus": torch.cuda.device_count(),
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": driver(),
    }


def driver() -> str | None:
    """Return the version of the driver, as nvidia-smi tells it; None without it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.split()[0] if said.split() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

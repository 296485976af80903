"""Cores, memory, torch and the device that the project names."""

import os
from collections.abc import Iterator

from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok, warn

FEW_GIGABYTES = 4.0
"""Below this a slide encoder and the patches that wait for it may not fit."""


def cores(subject: Subject) -> Iterator[DoctorFinding]:
    """Say how many cores there are, and how many threads the project asks for."""
    project, there = subject.project, usable_cores()
    used = f"; {project.runtime.compute_threads} compute, {project.runtime.readers} read" if project else ""
    if project and project.runtime.compute_threads > there:
        cure = "set threads in [runtime] to no more than the cores that this process may use"
        yield warn("cores", f"{there} cores for this process{used}", cure)
    else:
        yield ok("cores", f"{there} cores for this process{used}")


def memory(_: Subject) -> Iterator[DoctorFinding]:
    """Say how much memory there is."""
    try:
        gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return  # this system does not say
    if gigabytes < FEW_GIGABYTES:
        yield warn("memory", f"{gigabytes:.1f} GB", "lower feature_batch_size, or take a machine with more")
    else:
        yield ok("memory", f"{gigabytes:.1f} GB")


def torch(subject: Subject) -> Iterator[DoctorFinding]:
    """Load torch, and hold the project's devices against what there is."""
    import torch

    yield ok("torch", f"{torch.__version__}, {_built_for()}, {torch.get_num_threads()} threads by itself")
    runtime = subject.project.runtime if subject.project else None
    for name in runtime.devices if runtime else ("auto",):
        yield device(name)


def device(name: str) -> DoctorFinding:
    """Say whether a device is there, and its memory."""
    import torch

    from atlaspatch_core.encoders.devices import device_fault, present_device, resolve_device

    try:
        if fault := device_fault(name):
            return fail("device", fault, 'install a torch for this GPU and its driver, or set device = "auto"')
    except InvalidProject as error:
        return fail("device", str(error), "correct device in [runtime]")
    if name == "auto" and present_device() is None:
        return ok("device", "auto: the CPU, for torch sees no GPU here")
    resolved = resolve_device(name)
    if resolved.type != "cuda":
        return ok("device", name if name == resolved.type else f"{name}: {resolved.type}")
    free, total = torch.cuda.mem_get_info(resolved)
    gpu = torch.cuda.get_device_properties(resolved).name
    return ok("device", f"{name}: {gpu}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")


def _built_for() -> str:
    import torch

    return f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"

"""The one table of checks."""

from atlaspatch_core.operations.doctor import hub, machine, results, sharing, slides, software, storage, weights
from atlaspatch_core.operations.doctor.values import Check

CHECKS = (
    Check("python", software.python),
    Check("libraries", software.libraries),
    Check("extras", software.extras),
    Check("openslide", software.openslide),
    Check("cores", machine.cores),
    Check("memory", machine.memory),
    Check("torch", machine.torch, 120, "see whether the driver of the GPU answers: run nvidia-smi"),
    Check("weights", weights.weights, 300, "see whether the disk that holds the weights answers"),
    Check("hub", hub.hub, 60, "see whether https://huggingface.co, or HF_ENDPOINT, can be reached"),
    Check("output", storage.writing),
    Check("locks", storage.locking, 30, storage.NFS),
    Check("sharing", sharing.sharing, 240, storage.NFS),
    Check("results", results.results, 120, "see whether the drive with the output answers"),
    Check("slides", slides.slides, 60, "see whether the drive with the slides answers"),
    Check("space", storage.space, 120, "see whether the drives with slides and output answer"),
)
"""In the order in which they run and are told."""

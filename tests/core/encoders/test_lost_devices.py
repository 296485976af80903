"""Which errors of torch mean that a device failed, and which names are no devices."""

import pytest
import torch

from atlaspatch_core.encoders.devices import device_fault, is_lost
from atlaspatch_core.errors import InvalidProject


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_only_what_ends_the_use_of_a_device_is_taken_for_its_loss(error, expected):
    assert is_lost(error) is expected


def test_the_gpu_of_a_mac_has_no_number():
    with pytest.raises(InvalidProject, match="the device mps:0 is not known"):
        device_fault("mps:0")

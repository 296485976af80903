"""Memory of the host that batches pass through on their way to a device and back."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.accelerator import Accelerator

if TYPE_CHECKING:
    from torch import Tensor


class Flight(Protocol):
    """A batch that is under way through a slot."""

    def finish(self) -> None:
        """Wait until it has landed and free its slot."""


@dataclass(slots=True, eq=False)
class Slot:
    """Memory of the host for one flight; it grows with the batch, and only when nothing copies from or to it."""

    device: Accelerator
    dims: tuple[int, ...]
    """Of the features, by encoder."""
    pixels: "Tensor | None" = None
    """Flat, uint8."""
    features: "list[Tensor]" = field(default_factory=list)
    """By encoder, float32 (patches, dim)."""
    flight: Flight | None = None

    def fill(self, patches: NDArray[np.uint8]) -> "Tensor":
        """Copy patches (b, h, w, 3) here, make room for their features, and return them as they lie here."""
        import torch

        if self.pixels is None or self.pixels.numel() < patches.size:
            self.pixels = self.device.memory((_with_room(patches.size),), torch.uint8)
        if not self.features or len(self.features[0]) < len(patches):
            rows = _with_room(len(patches))
            self.features = [self.device.memory((rows, dim), torch.float32) for dim in self.dims]
        filled = self.pixels[: patches.size].view(patches.shape)
        np.copyto(filled.numpy(), patches, casting="unsafe")
        return filled


def _with_room(count: int) -> int:
    """Return the next power of two: where slides meet, batches are a little larger than the others."""
    return 1 << (count - 1).bit_length()

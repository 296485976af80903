"""Encoders on their device, ready to run."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import PatchEncoder, Precision, SlideEncoder
from atlaspatch_core.encoders.preprocessing import preprocess
from atlaspatch_core.errors import NotFinite, WrongWeights
from atlaspatch_core.plugins.foreign_code import no_exit

if TYPE_CHECKING:
    from torch import Tensor, device


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class LoadedPatchEncoder:
    """A patch encoder on its device."""

    encoder: PatchEncoder
    dim: int
    """Length of a feature vector, as the network has it."""
    device: "device"
    precision: Precision
    """The one that is computed in."""
    forward: Callable[["Tensor"], "Tensor"]
    """Input (b, 3, h, w) to features (b, dim)."""
    preprocess: Callable[["Tensor"], "Tensor"] | None = None
    """Uint8 pixels (b, 3, h, w) to input; left out: as the encoder declares it."""
    cleanup: Callable[[], None] | None = None

    def expect(self, patches: int) -> None:
        """Tell preprocessing and network that so many patches are to come, where that decides what pays."""
        for step in (self.preprocess, self.forward):
            if (expect := getattr(step, "expect", None)) is not None:
                expect(patches)

    def encode(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return features (b, dim), float32, finite, from RGB patches (b, h, w, 3) in any number.

        Raises WrongWeights when the network's dim is another, NotFinite for NaN and infinite numbers.
        """
        from torch import inference_mode

        if not len(patches):
            return np.empty((0, self.dim), np.float32)
        with inference_mode():
            features = self.features(self.to_input(to_device(patches, self.device)))
        return self.checked(features.cpu().numpy())

    def to_input(self, pixels: "Tensor") -> "Tensor":
        """Return the input of the network; one and the same for all encoders of one transform."""
        return self.preprocess(pixels) if self.preprocess else to_input(pixels, self.encoder)

    def features(self, pixels: "Tensor") -> "Tensor":
        """Return features (b, dim), float32, on the device, from what ``to_input`` made.

        To be called in inference mode. Raises WrongWeights when the network's dim is another.
        """
        with no_exit(self.encoder.name):
            features = self.forward(pixels).float()
        if features.shape != (len(pixels), self.dim):
            shape = tuple(features.shape)
            raise WrongWeights(f"{self.encoder.name}: gave shape {shape}, not ({len(pixels)}, {self.dim})")
        return features

    def checked(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return features as they are. Raises NotFinite for NaN and infinite numbers."""
        if not np.isfinite(features).all():
            raise not_finite(self.encoder.name, "features", self.precision)
        return features

    def close(self) -> None:
        """Let a plugin's extractor clean up."""
        if self.cleanup is not None:
            with no_exit(self.encoder.name):
                self.cleanup()


@dataclass(frozen=True, slots=True, weakref_slot=True)
class LoadedSlideEncoder:
    """A slide encoder on its device; ``inference.encode_slide`` runs it."""

    encoder: SlideEncoder
    precision: Precision
    """The one that is computed in."""
    network: Any = None
    """None where the encoder needs none."""
    device: "device | None" = None
    """Where the network is; None without one."""

    def run(self, forward: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function makes of the network and the arguments, without gradients, in the precision."""
        with no_exit(self.encoder.name):
            return self._run(forward, *arguments)

    def _run(self, forward: Callable[..., Any], *arguments: Any) -> Any:
        if self.device is None:
            return forward(self.network, *arguments)
        import torch

        half = self.precision != "float32"
        cast = torch.autocast(self.device.type, getattr(torch, self.precision)) if half else nullcontext()
        with torch.inference_mode(), cast:
            return forward(self.network, *arguments)


def not_finite(encoder: str, what: str, precision: Precision) -> NotFinite:
    """Return what to say of NaN and infinite numbers."""
    cure = "use float32" if precision != "float32" else "look into its weights and its code"
    return NotFinite(f"{encoder}: gave NaN or infinite {what} in {precision}; {cure}")


def to_device(patches: NDArray[np.uint8], device: "device") -> "Tensor":
    """Return uint8 pixels (b, 3, h, w) on the device, channels last in memory, from patches (b, h, w, 3)."""
    import torch

    pixels = torch.from_numpy(np.require(patches, np.uint8, ["C", "W"]))
    return pixels.to(device).permute(0, 3, 1, 2)


def to_input(pixels: "Tensor", encoder: PatchEncoder) -> "Tensor":
    """Return the input of an encoder's network, as the encoder declares it."""
    return pixels if encoder.transform is None else preprocess(pixels, encoder.transform)

"""The architecture of slide encoders that pool by attention."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.declaration import Adapt, StateDict
from atlaspatch_core.encoders.declared_names import named

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True, slots=True)
class AttentionPool:
    """One layer, gated attention, and the mean by it."""

    width: int
    """Length of a patch's features."""
    embedded: int
    """Width of the layer."""
    hidden: int
    """Width of the attention."""
    pools_features: bool = False
    """Whether the mean is that of the features as they came, not of the layer's."""

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the network with arbitrary weights."""
        from atlaspatch_core.encoders.slide.networks.attention import AttentionPooling

        return AttentionPooling(self.width, self.embedded, self.hidden, pools_features=self.pools_features)

    def spec(self) -> dict[str, Any]:
        """Return the widths."""
        return {"attention_pool": asdict(self)}


def renamed(prefixes: Mapping[str, str]) -> Adapt:
    """Return an ``Adapt`` that keeps the tensors under these prefixes alone, each under another prefix."""

    @named(f"renamed({dict(prefixes)})")
    def adapt(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
        return {
            new + name.removeprefix(old): tensor
            for name, tensor in checkpoint.items()
            for old, new in prefixes.items()
            if name.startswith(old)
        }

    return adapt

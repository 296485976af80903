"""COBRA II: one network over the features of several patch encoders (Lenz et al. 2025, arXiv:2411.13623)."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.declaration import SlideEncoder, StateDict
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.slide.calling import pool, pool_attention

if TYPE_CHECKING:
    from torch.nn import Module

PAGE = "https://huggingface.co/KatherLab/COBRA"
TEACHER = "momentum_enc."
"""Before the names of the network that is used; beside it lies the one that learnt from it."""


@dataclass(frozen=True, slots=True)
class CobraNetwork:
    """Mamba-2 and attention, as wide as COBRA II."""

    widths: tuple[int, ...] = (512, 1024, 1280, 1536)
    """Lengths of the features that it takes: of CONCH, UNI, class tokens of Virchow2, and H-optimus-0."""
    shared: int = 768
    state: int = 128
    layers: int = 1
    heads: int = 4
    hidden: int = 256

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the network with arbitrary weights."""
        from atlaspatch_core.encoders.slide.networks.cobra import CobraPooling

        return CobraPooling(self.widths, self.shared, self.state, self.layers, self.heads, self.hidden)

    def spec(self) -> dict[str, Any]:
        """Return the widths."""
        return {"cobra": asdict(self) | {"widths": list(self.widths)}}


@named("teacher_of_cobra")
def teacher_of_cobra(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return the tensors of the network that is used, without what pretraining alone needed."""
    if not any(TEACHER in name for name in checkpoint):
        return checkpoint
    names = {name.rpartition(TEACHER)[2]: tensor for name, tensor in checkpoint.items() if TEACHER in name}
    return {name: tensor for name, tensor in names.items() if not name.startswith("proj.")}


def cobra(name: str, patch_encoder: str, dim: int) -> SlideEncoder:
    """Return COBRA II over the features of one of its patch encoders."""
    return SlideEncoder(
        name=name,
        patch_encoder=patch_encoder,
        dim=dim,
        forward=pool,
        attention=pool_attention,
        architecture=CobraNetwork(),
        source=HubWeights("KatherLab/COBRA", ("cobraII.pth.tar",), gated=True),
        adapt=teacher_of_cobra,
        license="GPL-3.0-only",
        gated=True,
        patch_size=224,
        mpp=(1 / 3, 2),
        homepage=PAGE,
        note=f"Mean of the {patch_encoder} features by attention learnt over four patch encoders at 5x to 30x.",
        facts="widths and scales of cobra/config/cobraII.yml of github.com/KatherLab/COBRA; licence of the hub page",
    )


COBRA = (
    cobra("cobra2_conch_v1", "conch_v1", 512),
    cobra("cobra2_uni_v1", "uni_v1", 1024),
    cobra("cobra2_virchow_v2", "virchow_v2_cls", 1280),
    cobra("cobra2_h_optimus_0", "h_optimus_0", 1536),
)

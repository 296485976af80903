"""TANGLE v2: attention aligned with gene expression, of 27 cohorts of TCGA (Jaume et al. 2024, arXiv:2405.11618)."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.slide.attention import renamed
from atlaspatch_core.encoders.slide.calling import pool, pool_attention
from atlaspatch_core.encoders.weights import NotGiven, local_copy

if TYPE_CHECKING:
    from torch.nn import Module

FILE = "https://drive.google.com/uc?id=1f0fNPr5vU6F9Qy0OM3g1TxliBZcVfjmX"
"""model.pt of the folder tangle_pancancer that the makers' page leads to."""


@dataclass(frozen=True, slots=True)
class TanglePool:
    """Layers, attention by several heads, and one layer."""

    width: int = 1024
    """Length of a patch's features."""
    hidden: int = 512
    heads: int = 4
    """As config.json beside the checkpoint says; the makers' script for training says 2."""

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the network with arbitrary weights."""
        from atlaspatch_core.encoders.slide.networks.tangle import TanglePooling

        return TanglePooling(self.width, self.hidden, self.heads)

    def spec(self) -> dict[str, Any]:
        """Return the widths."""
        return {"tangle_pool": asdict(self)}


TANGLE = SlideEncoder(
    name="tangle_v2",
    aliases=("tangle",),
    patch_encoder="uni_v1",
    dim=512,
    forward=pool,
    attention=pool_attention,
    architecture=TanglePool(),
    source=NotGiven(f"get model.pt from {FILE} and name it: {local_copy('tangle_v2')}"),
    adapt=renamed({"wsi_embedder.": ""}),
    license="CC-BY-NC-ND-4.0",
    magnification=20,
    homepage="https://github.com/mahmoodlab/TANGLE",
    note="Attention by four heads over uni_v1 features, aligned with gene expression in 27 cohorts of TCGA.",
    facts="heads and address of the checkpoint as raw2features reads them; the size of its patches is not stated",
)

"""CONCH v1.5 from the file of tensors that its makers publish beside TITAN: built here, no code of theirs is run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.checkpoint import load_strictly, read_checkpoint
from atlaspatch_core.encoders.declaration import as_published
from atlaspatch_core.encoders.patch.conch_tensors import UnclearTensors, sort_tensors
from atlaspatch_core.errors import WrongWeights

if TYPE_CHECKING:
    from torch.nn import Module

FILE = "pytorch_model_vision.bin"
"""Name of the file in its repository."""
VIT_LARGE: Mapping[str, Any] = {"img_size": 448, "init_values": 1.0}


@dataclass(frozen=True, slots=True)
class ConchVision:
    """A vision transformer of timm whose tokens, all of them, one learned query pools by attention.

    The network is made for a grid of ``built_grid`` tokens a side and fed a larger one: position embeddings of a file
    are brought to the former (bilinear, not antialiased) and from there to the latter (bicubic, by a factor that DINO
    made 0.1 tokens too large). A file that has them for the larger grid already takes both steps too: so does TRIDENT,
    and features are the same.
    """

    trunk: TimmModel = field(default_factory=lambda: TimmModel("vit_large_patch16_224", VIT_LARGE))
    dim: int = 768
    """Length of the query, and of the features."""
    heads: int = 8
    built_grid: int = 14

    def build(self, weights: Path | None) -> NoReturn:
        """Raise WrongWeights: the width of the attention is known from its weights alone."""
        raise WrongWeights(f"{weights}: CONCH v1.5 is loaded from its weights alone")

    def load(self, weights: Path, encoder: str) -> "Module":
        """Return the network in float32, from a file, or a folder that holds ``pytorch_model_vision.bin``.

        Tensors are told by role and shape. Raises WrongWeights, with their names, where one is missing or left over,
        or where two could be the same.
        """
        from atlaspatch_core.encoders.patch.conch_network import ConchNetwork, resample_positions

        file = weights / FILE if (weights / FILE).is_file() else weights
        checkpoint = read_checkpoint(file, encoder)
        try:
            tensors = sort_tensors(checkpoint, self._names_of_trunk(), self.dim)
            inner = len(tensors["pooling.to_queries.weight"])
            if inner % self.heads:
                raise UnclearTensors(f"its attention is {inner} wide, which {self.heads} heads do not divide")
            width = tensors["trunk.pos_embed"].shape[-1]
            network = ConchNetwork(self.trunk.build(None), width, inner, self.dim, self.heads)
            grid = network.trunk.patch_embed.grid_size[0]
            tensors["trunk.pos_embed"] = resample_positions(tensors["trunk.pos_embed"], self.built_grid, grid)
        except UnclearTensors as error:
            raise WrongWeights(
                f"{encoder}: {file} is no file of CONCH v1.5 that is understood: {error}; give {FILE} of "
                "https://huggingface.co/MahmoodLab/conchv1_5, or TITAN's folder, whose code then runs on request"
            ) from error
        load_strictly(network, tensors, as_published, encoder)
        return network

    def spec(self) -> dict[str, Any]:
        """Return the trunk and the pooling."""
        of_pooling = {"dim": self.dim, "heads": self.heads, "built_grid": self.built_grid}
        return {"conch_vision": self.trunk.spec(), **of_pooling}

    def _names_of_trunk(self) -> list[str]:
        """Return the names of its tensors; nothing is allocated."""
        import torch

        with torch.device("meta"):
            return list(self.trunk.build(None).state_dict())


def is_vision_file(weights: Path) -> bool:
    """Tell whether local weights are a file, or the folder of one, not a repository with code."""
    return not weights.is_dir() or (weights / FILE).is_file()

"""MADELEINE: attention learnt across stains (Jaume et al. 2024, arXiv:2408.02859)."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.extras import need
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.slide.calling import as_batch
from atlaspatch_core.errors import WrongWeights
from atlaspatch_core.texts import parse_json

if TYPE_CHECKING:
    from torch.nn import Module

NAME = "madeleine"
PAGE = "https://huggingface.co/MahmoodLab/madeleine"


@dataclass(frozen=True, slots=True)
class MadeleinePackage:
    """The network of the package ``madeleine``, from a folder with ``model_config.json`` and ``model.pt``."""

    def build(self, weights: Path | None) -> NoReturn:
        """Raise WrongWeights: without its folder there is no network."""
        raise WrongWeights(f"{NAME}: {weights} is no folder with model_config.json and model.pt; get it from {PAGE}")

    def load(self, weights: Path, encoder: str) -> "Module":
        """Return the network with its weights. Raises MissingExtra, and WrongWeights when the folder lacks a file."""
        config, checkpoint = weights / "model_config.json", weights / "model.pt"
        if not (config.is_file() and checkpoint.is_file()):
            self.build(weights)
        factory = need("madeleine.models.Model", NAME, encoder)
        settings = Namespace(**parse_json(config.read_text()))
        try:
            return factory.create_model(settings, device="cpu", checkpoint_path=str(checkpoint))
        except Exception as error:  # it is foreign code
            raise WrongWeights(f"{encoder}: {weights} cannot be loaded: {type(error).__name__}: {error}") from error

    def spec(self) -> dict[str, Any]:
        """Return the name; the configuration is part of the folder's sha256."""
        return {"package": NAME}


@named("encode_madeleine")
def encode_madeleine(
    network: Any,
    features: NDArray[np.float32],
    coords: NDArray[np.int64],
    patch_size_level0: int,  # noqa: ARG001
) -> Any:
    """Return the embedding of an H&E slide, shape (512,); where the patches lie does not matter."""
    rows, _ = as_batch(network, features, coords)
    return network.encode_he(feats=rows, device=rows.device).squeeze()


MADELEINE = SlideEncoder(
    name=NAME,
    patch_encoder="conch_v1",
    dim=512,
    forward=encode_madeleine,
    architecture=MadeleinePackage(),
    source=HubWeights("MahmoodLab/madeleine", None, gated=True),
    precision="bfloat16",
    license="CC-BY-NC-ND-4.0",
    gated=True,
    patch_size=256,
    magnification=10,
    extra=NAME,
    homepage=PAGE,
    note="Attention learnt across stains of one block; made for H&E slides.",
)

"""Networks that lie in packages of their makers, which no registry has. Imported when one of them is loaded."""

from pathlib import Path
from typing import TYPE_CHECKING

from atlaspatch_core.encoders.extras import need
from atlaspatch_core.errors import WrongWeights

if TYPE_CHECKING:
    from torch.nn import Module


def conch(weights: Path, encoder: str) -> "Module":
    """Return CONCH as https://github.com/mahmoodlab/CONCH says to load it."""
    create = need("conch.open_clip_custom", "conch", encoder).create_model_from_pretrained
    try:
        return create("conch_ViT-B-16", checkpoint_path=str(weights))[0]
    except (RuntimeError, KeyError, ValueError, OSError) as error:
        raise WrongWeights(f"{encoder}: {weights} cannot be loaded: {error}") from error


def musk(weights: Path, encoder: str) -> "Module":
    """Return MUSK as https://github.com/lilab-stanford/MUSK says to load it."""
    import timm

    utils = need("musk.utils", "musk", encoder)
    need("musk.modeling", "musk", encoder)
    network = timm.create_model("musk_large_patch16_384")
    try:
        utils.load_model_and_may_interpolate(str(weights), network, "model|module", "")
    except (RuntimeError, KeyError, ValueError, OSError) as error:
        raise WrongWeights(f"{encoder}: {weights} cannot be loaded: {error}") from error
    return network

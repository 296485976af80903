"""Prost40M of Radboudumc, for tissue of the prostate."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.checkpoint import load_strictly, read_checkpoint
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform, as_published
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import APACHE_2
from atlaspatch_core.encoders.transforms import IMAGENET_224_BICUBIC
from atlaspatch_core.errors import WrongWeights
from atlaspatch_core.texts import parse_json

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass(frozen=True, slots=True)
class TimmWithConfig:
    """A model of timm whose folder on the hub says by its ``config.json`` how patches are normalised."""

    network: TimmModel
    transform: Transform
    """What the configuration must not contradict."""

    def build(self, weights: Path | None) -> "Module":
        """Return the network with arbitrary weights."""
        return self.network.build(weights)

    def load(self, weights: Path, encoder: str) -> "Module":
        """Return the network with its weights, from a file, or from a folder whose configuration says the same.

        Raises WrongWeights where it says another mean or standard deviation.
        """
        stated = _stated(weights)
        for word, declared in (("mean", self.transform.mean), ("std", self.transform.std)):
            if stated.get(word) not in (None, list(declared)):
                raise WrongWeights(
                    f"{encoder}: config.json in {weights} says {word} = {stated[word]}, not {list(declared)}, so its "
                    "features would be others; declare it in a plugin file with the transform that it states"
                )
        network = self.build(None)
        load_strictly(network, read_checkpoint(weights, encoder), as_published, encoder)
        return network

    def spec(self) -> dict[str, Any]:
        """Return the name and the arguments of the network."""
        return self.network.spec()


def _stated(weights: Path) -> dict[str, Any]:
    """Return ``pretrained_cfg`` of a folder as timm writes it; nothing of a file, or of a folder without."""
    config = weights / "config.json"
    if not config.is_file():
        return {}
    stated = parse_json(config.read_text(encoding="utf-8")).get("pretrained_cfg", {})
    return stated if isinstance(stated, dict) else {}


PROST40M = PatchEncoder(
    name="prost40m",
    architecture=TimmWithConfig(
        TimmModel("vit_small_patch16_224", {"patch_size": 14, "img_size": 224}), IMAGENET_224_BICUBIC
    ),
    source=HubWeights("waticlems/Prost40M", None),
    dim=384,
    transform=IMAGENET_224_BICUBIC,
    license=APACHE_2,
    patch_size=224,
    magnification=20,
    homepage="https://huggingface.co/waticlems/Prost40M",
    note="For the prostate. Refused where the configuration beside its weights names another normalisation.",
    facts="payload_manifest.json of the page; scale of slide2vec; mean and std are compared when it is loaded",
)

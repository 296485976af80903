"""``abmil-<patch encoder>``: attention pooling that the user trained (Ilse et al. 2018, arXiv:1802.04712).

The checkpoint says how wide its layers are. Their order matters, which is that in which every implementation computes;
of one head also the names ``attention_a``, ``_b``, ``_c`` (or ``attention_V``, ``_U``, ``_weights``). Layers of a
classifier (``classifier…``, ``instance_classifier…``) are left out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from atlaspatch_core.encoders.checkpoint import read_checkpoint
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder, StateDict
from atlaspatch_core.encoders.slide.calling import pool, pool_attention
from atlaspatch_core.encoders.weights import NotGiven, local_copy
from atlaspatch_core.errors import WrongWeights

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

PREFIX = "abmil-"
CLASSIFIERS = ("classif", "instance_classif")
ROLES = (("attention_a", "attention_v"), ("attention_b", "attention_u"), ("attention_c", "attention_w"))
"""What layers of attention are called: tanh, gate, score."""
LAYOUT = (
    "expected are Linear(d→e); Linear(e→h) with tanh, Linear(e→h) with sigmoid where there is a gate, Linear(h→1); "
    "or Linear(d→d), those three for each head, Linear(heads·d→d) for several heads, Linear(d→d)"
)

Layer = tuple["Tensor", "Tensor"]
"""Weight (out, in) and bias (out,) of a linear layer."""


@dataclass(frozen=True, slots=True)
class Abmil:
    """Attention pooling as wide as its checkpoint."""

    def build(self, weights: Path | None) -> NoReturn:
        """Raise WrongWeights: without its checkpoint there is no network."""
        raise WrongWeights(f"{weights}: attention pooling is as wide as its checkpoint; name the file")

    def load(self, weights: Path, encoder: str) -> "Module":
        """Return the network with its weights. Raises WrongWeights that says which layers are expected."""
        layers = linear_layers(read_checkpoint(weights, encoder), encoder)
        if len(layers) > 4 and (weights.is_dir() or weights.suffix == ".safetensors"):
            raise WrongWeights(f"{encoder}: a .safetensors file forgets the order of layers; save {weights} as .pt")
        network = _network(layers, encoder)
        own = network.state_dict()
        tensors = [tensor for layer in layers for tensor in layer]
        if [tensor.shape for tensor in own.values()] != [tensor.shape for tensor in tensors]:
            raise _unlike(layers, encoder)
        network.load_state_dict(dict(zip(own, tensors, strict=True)), strict=True)
        return network

    def spec(self) -> dict[str, Any]:
        """Return the kind; the widths follow from the sha256 of the weights."""
        return {"abmil": "as its checkpoint"}


def linear_layers(checkpoint: StateDict, encoder: str) -> list[Layer]:
    """Return the linear layers in order, without those of a classifier. Raises WrongWeights for any other layer."""
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in checkpoint.items():
        module, _, what = name.rpartition(".")
        if not any(part.startswith(CLASSIFIERS) for part in module.split(".")):
            modules.setdefault(module, {})[what] = tensor.float()
    for module, parts in modules.items():
        if parts.keys() != {"weight", "bias"} or parts["weight"].ndim != 2:
            raise WrongWeights(f"{encoder}: the checkpoint has a layer that is not linear, {module}; {LAYOUT}")
    names = sorted(modules, key=_role) if len(modules) <= 4 else list(modules)
    return [(modules[name]["weight"], modules[name]["bias"]) for name in names]


def _role(module: str) -> int:
    """Return the place of a layer of a network with one head: before the attention, tanh, gate, score."""
    places = [place for place, words in enumerate(ROLES, 1) if any(word in module.lower() for word in words)]
    return places[0] if places else 0


def _network(layers: list[Layer], encoder: str) -> "Module":
    """Return the network that has layers of these shapes."""
    from atlaspatch_core.encoders.slide.networks.attention import AttentionBlock, AttentionPooling

    shapes = [tuple(weight.shape) for weight, _ in layers]
    if len(shapes) < 3:
        raise _unlike(layers, encoder)
    width = shapes[0][1]
    if len(shapes) > 4 or shapes[-1] == shapes[0] == (width, width):
        heads, each = _heads(shapes[1:-1])
        return AttentionBlock(width, shapes[1][0], max(heads, 1), gated=each == 3)
    return AttentionPooling(width, shapes[0][0], shapes[1][0], gated=len(shapes) == 4)


def _heads(shapes: list[tuple[int, ...]]) -> tuple[int, int]:
    """Return how many heads there are, and how many layers each has: a head ends with a layer of one number."""
    ends = [index for index, shape in enumerate(shapes) if shape[0] == 1]
    return len(ends), ends[0] + 1 if ends else 0


def _unlike(layers: list[Layer], encoder: str) -> WrongWeights:
    shapes = ", ".join(f"{weight.shape[1]}→{weight.shape[0]}" for weight, _ in layers) or "none"
    return WrongWeights(f"{encoder}: the checkpoint has the linear layers {shapes}; {LAYOUT}")


def abmil_encoder(patch_encoder: PatchEncoder) -> SlideEncoder:
    """Return the slide encoder ``abmil-<patch encoder>``, whose weights are the user's."""
    name = f"{PREFIX}{patch_encoder.name}"
    return SlideEncoder(
        name=name,
        patch_encoder=patch_encoder.name,
        dim=None,
        forward=pool,
        attention=pool_attention,
        architecture=Abmil(),
        source=NotGiven(f"train it, and name its checkpoint: {local_copy(name)}"),
        license=patch_encoder.license,
        gated=patch_encoder.gated,
        homepage="https://arxiv.org/abs/1802.04712",
        note=f"Attention over {patch_encoder.name} features, from a checkpoint of your own.",
    )

"""From the names in a published checkpoint to those of our network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from atlaspatch_core.encoders.declaration import StateDict
from atlaspatch_core.encoders.declared_names import named

HEADS = ("dino_head.", "ibot_head.")
"""Beginnings of names that only training needs."""
DINOV2 = {"register_tokens": "reg_token", "w12": "fc1", "w3": "fc2"}
"""Their names to timm's."""
DINOV3 = {
    "storage_tokens": "reg_token",
    "ls1.gamma": "gamma_1",
    "ls2.gamma": "gamma_2",
    "mlp.w1": "mlp.fc1_g",
    "mlp.w2": "mlp.fc1_x",
    "mlp.w3": "mlp.fc2",
}
"""Their names to timm's."""
IN_CHUNKS = re.compile(r"^(\.blocks\.)\d+\.(?=\d+\.)")


@dataclass(frozen=True, slots=True)
class Without:
    """Drops layers that the network does not have, such as a classifier."""

    layers: tuple[str, ...]
    """Names of the layers."""

    @property
    def declared_name(self) -> str:
        """Its name in identities."""
        return f"Without(layers={self.layers})"

    def __call__(self, checkpoint: StateDict, network: StateDict) -> StateDict:
        """Return all other tensors."""
        prefixes = tuple(f"{layer}." for layer in self.layers)
        return {key: value for key, value in checkpoint.items() if key in network or not key.startswith(prefixes)}


@dataclass(frozen=True, slots=True)
class ModelPart:
    """Takes one network out of a checkpoint of several."""

    prefix: str
    """Beginning of its names, such as ``visual.``."""

    @property
    def declared_name(self) -> str:
        """Its name in identities."""
        return f"Part(prefix={self.prefix!r})"

    def __call__(self, checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG002
        """Return its tensors by their names within it; a checkpoint of it alone stays as it is."""
        part = {
            key.removeprefix(self.prefix): value for key, value in checkpoint.items() if key.startswith(self.prefix)
        }
        return part or dict(checkpoint)


@named("dinov2_as_timm")
def dinov2_as_timm(checkpoint: StateDict, network: StateDict) -> StateDict:
    """Return a checkpoint of facebookresearch/dinov2 by timm's names; one with timm's names keeps them.

    Their position embedding has a place for the class token: it is added to the class token where timm has no place.
    """
    tensors = {_timm_name(key, DINOV2): value for key, value in checkpoint.items()}
    tensors = {key: value for key, value in tensors.items() if key != "mask_token" and not key.startswith(HEADS)}
    positions, own = tensors.get("pos_embed"), network.get("pos_embed")
    if positions is not None and own is not None and positions.shape[1] == own.shape[1] + 1:
        tensors["cls_token"] = tensors["cls_token"] + positions[:, :1]
        tensors["pos_embed"] = positions[:, 1:]
    return tensors


@named("dinov3_as_timm")
def dinov3_as_timm(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return a checkpoint of facebookresearch/dinov3 by timm's names; one with timm's names keeps them."""
    tensors = {_timm_name(key, DINOV3): value for key, value in checkpoint.items()}
    return {key: value for key, value in tensors.items() if not key.endswith(("mask_token", "bias_mask", "periods"))}


def _timm_name(name: str, words: Mapping[str, str]) -> str:
    name = f".{name.removeprefix('teacher.').removeprefix('backbone.')}."
    name = IN_CHUNKS.sub(r"\1", name)
    for old, new in words.items():
        name = name.replace(f".{old}.", f".{new}.")
    return name[1:-1]

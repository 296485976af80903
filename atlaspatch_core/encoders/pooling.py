"""What a network's output becomes: one feature vector for each patch. Nothing here imports torch by itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.declared_names import named

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ClassAndMean:
    """The class token beside the mean of the patch tokens, shape (b, 2d), of a network that gives tokens (b, n, d)."""

    first: int
    """Index of the first patch token: 1 behind the class token, 5 behind four registers, too."""

    @property
    def declared_name(self) -> str:
        """Its name in identities."""
        return f"ClassAndMean(first={self.first})"

    def __call__(self, network: Any, pixels: "Tensor") -> "Tensor":
        """Return the vectors."""
        return class_and_mean(network(pixels), self.first)


def class_and_mean(tokens: "Tensor", first: int) -> "Tensor":
    """Return the first token beside the mean of those from ``first`` on: (b, n, d) to (b, 2d)."""
    import torch

    return torch.cat([tokens[:, 0], tokens[:, first:].mean(1)], dim=-1)


@named("class_token")
def class_token(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the first of the tokens (b, n, d) that a network gives."""
    return network(pixels)[:, 0]


@named("hidden_class_token")
def hidden_class_token(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the class token of a model of transformers, behind its last norm."""
    return network(pixel_values=pixels).last_hidden_state[:, 0]


@named("hidden_class_and_mean")
def hidden_class_and_mean(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the class token beside the mean of the patch tokens, of a model of transformers without registers."""
    return class_and_mean(network(pixel_values=pixels).last_hidden_state, 1)


@dataclass(frozen=True, slots=True)
class HiddenClassAndMean:
    """The class token beside the mean of the patch tokens, (b, 2d), of a model of transformers with registers."""

    first: int
    """Index of the first patch token, behind the class token and the registers."""

    @property
    def declared_name(self) -> str:
        """Its name in identities."""
        return f"HiddenClassAndMean(first={self.first})"

    def __call__(self, network: Any, pixels: "Tensor") -> "Tensor":
        """Return the vectors."""
        return class_and_mean(network(pixel_values=pixels).last_hidden_state, self.first)


@named("pooler_output")
def pooler_output(network: Any, pixels: "Tensor") -> "Tensor":
    """Return what a model of transformers calls its pooled output."""
    return network(pixel_values=pixels).pooler_output


@named("image_embeds")
def image_embeds(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the projected image features of CLIP, not normalised."""
    return network(pixel_values=pixels).image_embeds


@named("encoded")
def encoded(network: Any, pixels: "Tensor") -> "Tensor":
    """Return what the network's ``encode`` gives."""
    return network.encode(pixels)


@named("encoded_image")
def encoded_image(network: Any, pixels: "Tensor") -> "Tensor":
    """Return what the network's ``encode_image`` gives."""
    return network.encode_image(pixels)


@named("flattened")
def flattened(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the network's output (b, d, 1, 1) as (b, d)."""
    return network(pixels).flatten(1)


@named("mean_of_map")
def mean_of_map(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the mean over the only feature map (b, d, h, w) of a network that gives a list of them."""
    return network(pixels)[0].mean((2, 3))

"""Vision towers of Gemma 4."""

from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import GEMMA
from atlaspatch_core.encoders.transformers_models import TransformersModel

if TYPE_CHECKING:
    from torch import Tensor

SIDE, PATCH = 768, 16
"""A square of 280 tokens at most, each of 3 × 3 patches of 16 px, is one of 256 tokens and 768 px."""


@named("mean_of_soft_tokens")
def mean_of_soft_tokens(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the mean of the 256 tokens of each patch, (b, d), from pixels (b, 3, 768, 768) between 0 and 1."""
    import torch

    side = pixels.shape[-1] // PATCH
    parts = pixels.unflatten(3, (side, PATCH)).unflatten(2, (side, PATCH))
    parts = parts.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)  # row, column; then y, x, colour
    steps = torch.arange(side, device=pixels.device)
    places = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).reshape(1, -1, 2)
    tokens = network(parts, places.expand(len(pixels), -1, -1)).last_hidden_state
    return tokens.reshape(len(pixels), -1, tokens.shape[-1]).mean(1)


def _gemma(name: str, repository: str, layers: tuple[int, int, int, int], **options: Any) -> PatchEncoder:
    dim, depth, heads, hidden = layers
    return PatchEncoder(
        name=f"gemma4-{name}",
        aliases=(f"gemma4_{name}",),
        architecture=TransformersModel(
            "Gemma4VisionModel",
            "Gemma4VisionConfig",
            {
                "hidden_size": dim,
                "num_hidden_layers": depth,
                "num_attention_heads": heads,
                "num_key_value_heads": heads,
                "intermediate_size": hidden,
                "patch_size": PATCH,
                **options,
            },
            keep=("model.vision_tower.",),
            strip="model.vision_tower.",
            section="vision_config",
        ),
        source=HubWeights(repository, None, gated=True),
        dim=dim,
        transform=Transform(SIDE, None, "bicubic", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        pooling=mean_of_soft_tokens,
        precision="bfloat16",
        license=GEMMA,
        gated=True,
        patch_size=224,
        magnification=20,
        extra="hub",
        homepage=f"https://huggingface.co/{repository}",
        note="A general model, not one of pathology; needs transformers 5.",
    )


GOOGLE = (
    _gemma("e4b", "google/gemma-4-E4B", (768, 16, 12, 3072)),
    _gemma("26b", "google/gemma-4-26B-A4B", (1152, 27, 16, 4304), head_dim=72),
)

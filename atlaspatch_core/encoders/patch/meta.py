"""DINOv2 and DINOv3 of Meta, trained on photographs and on satellite images."""

from collections.abc import Mapping
from typing import Any

from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.hub import WEIGHTS, HubWeights
from atlaspatch_core.encoders.licenses import APACHE_2, DINOV3
from atlaspatch_core.encoders.pooling import hidden_class_token, pooler_output
from atlaspatch_core.encoders.transformers_models import TransformersModel
from atlaspatch_core.encoders.transforms import IMAGENET_224, IMAGENET_256_224_BICUBIC

SATELLITE = Transform(224, 224, "bilinear", (0.430, 0.411, 0.296), (0.213, 0.156, 0.143))
"""https://huggingface.co/facebook/dinov3-vitl16-pretrain-sat493m"""

GATED_MLP = {"use_gated_mlp": True, "hidden_act": "silu"}
NO_BIAS = {"query_bias": False, "value_bias": False}


def dinov2_model(dim: int, depth: int, heads: int, **options: Any) -> TransformersModel:
    """Return the architecture of a DINOv2 without registers; its image size is that of the checkpoint."""
    return TransformersModel(
        "Dinov2Model",
        "Dinov2Config",
        {
            "hidden_size": dim,
            "num_hidden_layers": depth,
            "num_attention_heads": heads,
            "image_size": 518,
            "patch_size": 14,
            **options,
        },
        positions="embeddings.position_embeddings",
    )


def _dinov2(size: str, dim: int, depth: int, heads: int, **options: Any) -> PatchEncoder:
    return PatchEncoder(
        name=f"dinov2_{size}",
        architecture=dinov2_model(dim, depth, heads, **options),
        source=HubWeights(f"facebook/dinov2-{size}"),
        dim=dim,
        transform=IMAGENET_256_224_BICUBIC,
        pooling=hidden_class_token,
        autocast=False,
        license=APACHE_2,
        extra="hub",
        homepage=f"https://huggingface.co/facebook/dinov2-{size}",
    )


def _dinov3(
    name: str, size: str, layers: tuple[int, int, int, int], options: Mapping[str, Any], data: str = "lvd1689m"
) -> PatchEncoder:
    dim, depth, heads, hidden = layers
    repository = f"facebook/dinov3-{size}-pretrain-{data}"
    architecture = TransformersModel(
        "DINOv3ViTModel",
        "DINOv3ViTConfig",
        {
            "hidden_size": dim,
            "num_hidden_layers": depth,
            "num_attention_heads": heads,
            "intermediate_size": hidden,
            "num_register_tokens": 4,
            **options,
        },
    )
    return PatchEncoder(
        name=name,
        architecture=architecture,
        source=HubWeights(repository, None if size == "vit7b16" else WEIGHTS, gated=True),
        dim=dim,
        transform=SATELLITE if data == "sat493m" else IMAGENET_224,
        pooling=pooler_output,
        autocast=False,
        license=DINOV3,
        gated=True,
        extra="hub",
        homepage=f"https://huggingface.co/{repository}",
    )


LARGE = (1024, 24, 16, 4096)
SEVEN_BILLION = (4096, 40, 32, 8192)

META = (
    _dinov2("small", 384, 12, 6),
    _dinov2("base", 768, 12, 12),
    _dinov2("large", 1024, 24, 16),
    _dinov2("giant", 1536, 40, 24, use_swiglu_ffn=True),
    _dinov3("dinov3_vits16", "vits16", (384, 12, 6, 1536), {}),
    _dinov3("dinov3_vits16_plus", "vits16plus", (384, 12, 6, 1536), GATED_MLP),
    _dinov3("dinov3_vitb16", "vitb16", (768, 12, 12, 3072), {}),
    _dinov3("dinov3_vitl16", "vitl16", LARGE, {}),
    _dinov3("dinov3_vitl16_sat", "vitl16", LARGE, {}, "sat493m"),
    _dinov3("dinov3_vith16_plus", "vith16plus", (1280, 32, 20, 5120), GATED_MLP),
    _dinov3("dinov3_vit7b16", "vit7b16", SEVEN_BILLION, {**GATED_MLP, **NO_BIAS}),
    _dinov3("dinov3_vit7b16_sat", "vit7b16", SEVEN_BILLION, {**GATED_MLP, **NO_BIAS}, "sat493m"),
)

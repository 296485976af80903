"""Phikon of Owkin."""

from dataclasses import replace

from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import OWKIN
from atlaspatch_core.encoders.patch.meta import dinov2_model
from atlaspatch_core.encoders.pooling import hidden_class_token
from atlaspatch_core.encoders.transformers_models import TransformersModel
from atlaspatch_core.encoders.transforms import IMAGENET_224, IMAGENET_224_BICUBIC

PHIKON_V1 = PatchEncoder(
    name="phikon_v1",
    aliases=("phikon",),
    architecture=TransformersModel(
        "ViTModel",
        "ViTConfig",
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224, "patch_size": 16},
        build_options={"add_pooling_layer": False},
        skip=("pooler.",),
    ),
    source=HubWeights("owkin/phikon"),
    dim=768,
    transform=IMAGENET_224,
    pooling=hidden_class_token,
    license=OWKIN,
    patch_size=224,
    magnification=20,
    extra="hub",
    homepage="https://huggingface.co/owkin/phikon",
)

PHIKON_V2 = PatchEncoder(
    name="phikon_v2",
    aliases=("atlaspatch-phikon_v2",),
    architecture=dinov2_model(1024, 24, 16, image_size=224, patch_size=16),
    source=HubWeights("owkin/phikon-v2"),
    dim=1024,
    transform=IMAGENET_224_BICUBIC,
    pooling=hidden_class_token,
    license=OWKIN,
    patch_size=224,
    magnification=20,
    extra="hub",
    homepage="https://huggingface.co/owkin/phikon-v2",
    note="Resized bicubically, as published; TRIDENT does so bilinearly, which differs unless patches have 224 px.",
)

OWKIN_ENCODERS = (
    PHIKON_V1,
    PHIKON_V2,
    replace(
        PHIKON_V2,
        name="phikon_v2_bilinear",
        aliases=("trident-phikon_v2",),
        transform=IMAGENET_224,
        note="phikon_v2 with TRIDENT's bilinear resizing.",
    ),
)

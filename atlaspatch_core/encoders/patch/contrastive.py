"""Vision towers of CLIP and its kin: OpenAI's, PLIP, QuiltNet, BiomedCLIP, OmiCLIP, MedSigLIP."""

from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.adapting import ModelPart
from atlaspatch_core.encoders.architecture import OpenClipModel
from atlaspatch_core.encoders.declaration import HALF, PatchEncoder, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import BSD_3, HEALTH_AI, MIT, UNVERIFIED
from atlaspatch_core.encoders.pooling import image_embeds, pooler_output
from atlaspatch_core.encoders.transformers_models import TransformersModel
from atlaspatch_core.encoders.transforms import clip_transform

if TYPE_CHECKING:
    from torch import Tensor

OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
VIT_B = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}


@named("normalised_first")
def normalised_first(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the pooled vector of CoCa's tower at length 1, as its ``encode_image`` does by default."""
    from torch.nn.functional import normalize

    return normalize(network(pixels)[0], dim=-1)


def _openai(name: str, model: str, repository: str, dim: int, side: int = 224) -> PatchEncoder:
    return PatchEncoder(
        name=f"clip_{name}",
        architecture=OpenClipModel(model, quick_gelu=True),
        source=HubWeights(f"timm/{repository}.openai", OPEN_CLIP_FILES),
        dim=dim,
        transform=clip_transform(side),
        adapt=ModelPart("visual."),
        autocast=False,
        license=MIT,
        extra="clip",
        homepage="https://github.com/openai/CLIP",
    )


def _clip(name: str, repository: str, patch: int, license: str) -> PatchEncoder:  # noqa: A002
    return PatchEncoder(
        name=name,
        architecture=TransformersModel(
            "CLIPVisionModelWithProjection",
            "CLIPVisionConfig",
            {**VIT_B, "image_size": 224, "patch_size": patch, "projection_dim": 512, "hidden_act": "quick_gelu"},
            keep=("vision_model.", "visual_projection."),
            section="vision_config",
        ),
        source=HubWeights(repository),
        dim=512,
        transform=clip_transform(224),
        pooling=image_embeds,
        autocast=False,
        license=license,
        extra="hub",
        homepage=f"https://huggingface.co/{repository}",
    )


def _open_clip(name: str, source: HubWeights, architecture: OpenClipModel, license: str, **rest: Any) -> PatchEncoder:  # noqa: A002
    return PatchEncoder(
        name=name,
        architecture=architecture,
        source=source,
        transform=clip_transform(224),
        adapt=ModelPart("visual."),
        autocast=False,
        license=license,
        extra="clip",
        homepage=source.page,
        **rest,
    )


BIOMEDCLIP = {
    "embed_dim": 512,
    "vision_cfg": {
        "timm_model_name": "vit_base_patch16_224",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 224,
    },
}
"""https://huggingface.co/microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224, open_clip_config.json"""

MEDSIGLIP = PatchEncoder(
    name="medsiglip",
    architecture=TransformersModel(
        "SiglipVisionModel",
        "SiglipVisionConfig",
        {
            "hidden_size": 1152,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "intermediate_size": 4304,
            "image_size": 448,
            "patch_size": 14,
        },
        keep=("vision_model.",),
        strip="vision_model.",
        section="vision_config",
    ),
    source=HubWeights("google/medsiglip-448", gated=True),
    dim=1152,
    transform=Transform(448, None, "bilinear", HALF, HALF),
    pooling=pooler_output,
    autocast=False,
    license=HEALTH_AI,
    gated=True,
    extra="hub",
    homepage="https://huggingface.co/google/medsiglip-448",
    facts="[homepage](https://huggingface.co/google/medsiglip-448); bilinear as the page resizes for its makers' "
    "evaluations (`tf.image.resize`): `preprocessor_config.json`, as a copy has it, names bicubic (`resample` 3)",
)

CONTRASTIVE = (
    _openai("rn50", "RN50", "resnet50_clip", 1024),
    _openai("rn101", "RN101", "resnet101_clip", 512),
    _openai("rn50x4", "RN50x4", "resnet50x4_clip", 640, 288),
    _openai("rn50x16", "RN50x16", "resnet50x16_clip", 768, 384),
    _openai("rn50x64", "RN50x64", "resnet50x64_clip", 1024, 448),
    _openai("vit_b_32", "ViT-B-32", "vit_base_patch32_clip_224", 512),
    _openai("vit_b_16", "ViT-B-16", "vit_base_patch16_clip_224", 512),
    _openai("vit_l_14", "ViT-L-14", "vit_large_patch14_clip_224", 768),
    _openai("vit_l_14_336", "ViT-L-14-336", "vit_large_patch14_clip_336", 768, 336),
    _clip("plip", "vinid/plip", 32, UNVERIFIED),
    _clip("quilt_b_32", "wisdomik/QuiltNet-B-32", 32, MIT),
    _clip("quilt_b_16", "wisdomik/QuiltNet-B-16", 16, MIT),
    _open_clip(
        "quilt_b_16_pmb",
        HubWeights("wisdomik/QuiltNet-B-16-PMB", OPEN_CLIP_FILES),
        OpenClipModel("ViT-B-16"),
        MIT,
        dim=512,
    ),
    _open_clip(
        "biomedclip",
        HubWeights("microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", OPEN_CLIP_FILES),
        OpenClipModel("BiomedCLIP", config=BIOMEDCLIP),
        MIT,
        dim=512,
    ),
    _open_clip(
        "omiclip",
        HubWeights("WangGuangyuLab/Loki", ("checkpoint.pt",), gated=True),
        OpenClipModel("coca_ViT-L-14"),
        BSD_3,
        dim=768,
        pooling=normalised_first,
        gated=True,
        note="Vectors have length 1, as CoCa's encode_image gives them.",
    ),
    MEDSIGLIP,
)

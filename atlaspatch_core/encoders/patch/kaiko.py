"""Midnight and the "large pathology FMs" of kaiko.ai."""

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import HALF, Output, PatchEncoder, Transform
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import KAIKO, MIT
from atlaspatch_core.encoders.patch.meta import dinov2_model
from atlaspatch_core.encoders.pooling import hidden_class_and_mean, hidden_class_token

HALF_224 = Transform(224, 224, "bilinear", HALF, HALF)

MIDNIGHT = PatchEncoder(
    name="midnight",
    architecture=dinov2_model(1536, 40, 24, image_size=224, use_swiglu_ffn=True),
    source=HubWeights("kaiko-ai/midnight"),
    dim=3072,
    transform=HALF_224,
    pooling=hidden_class_and_mean,
    output="class+mean",
    outputs=(
        Output(
            word="class",
            name="midnight12k",
            aliases=("midnight_cls",),
            dim=1536,
            pooling=hidden_class_token,
            leads=True,
            note="Class token alone, as TRIDENT takes it; AtlasPatch's is midnight.",
        ),
    ),
    precision="float16",
    license=MIT,
    patch_size=224,
    magnification=20,
    mpp=(0.25, 2),
    extra="hub",
    homepage="https://huggingface.co/kaiko-ai/midnight",
    note="Class token and mean of patch tokens, as AtlasPatch takes it; TRIDENT's is midnight12k.",
)


def _kaiko(name: str, model: str, dim: int, **options: int) -> PatchEncoder:
    size, patch = name[3], name[4:]
    repository = f"1aurent/{model}.kaiko_ai_towards_large_pathology_fms"
    return PatchEncoder(
        name=f"kaiko-{name}",
        aliases=(f"kaiko_{name}", f"kaiko-vit{patch}{size}"),  # the last as TRIDENT's slide encoders spell it
        architecture=TimmModel(model, {"dynamic_img_size": True, **options}),
        source=HubWeights(repository),
        dim=dim,
        transform=HALF_224,
        license=KAIKO,
        patch_size=256,
        magnification=20,
        mpp=(0.25, 2),
        homepage=f"https://huggingface.co/{repository}",
    )


KAIKO_ENCODERS = (
    MIDNIGHT,
    _kaiko("vits8", "vit_small_patch8_224", 384),
    _kaiko("vits16", "vit_small_patch16_224", 384),
    _kaiko("vitb8", "vit_base_patch8_224", 768),
    _kaiko("vitb16", "vit_base_patch16_224", 768),
    _kaiko("vitl14", "vit_large_patch14_reg4_dinov2", 1024, img_size=518),
)

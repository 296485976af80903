"""H-optimus and H0-mini of Bioptimus."""

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import Interpolation, Output, PatchEncoder, Transform
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import APACHE_2, CC_BY_NC_ND
from atlaspatch_core.encoders.pooling import ClassAndMean, class_token


def h_optimus_transform(interpolation: Interpolation) -> Transform:
    """Return the preparation of patches that Bioptimus' encoders share."""
    return Transform(224, 224, interpolation, (0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))


def _h_optimus(number: int, license: str) -> PatchEncoder:  # noqa: A002
    return PatchEncoder(
        name=f"h_optimus_{number}",
        aliases=(f"hoptimus{number}",),
        architecture=TimmModel(
            "vit_giant_patch14_reg4_dinov2", {"img_size": 224, "init_values": 1e-5, "dynamic_img_size": False}
        ),
        source=HubWeights(f"bioptimus/H-optimus-{number}", gated=True),
        dim=1536,
        transform=h_optimus_transform("bilinear"),
        precision="float16",
        license=license,
        gated=True,
        patch_size=224,
        magnification=20,
        homepage=f"https://huggingface.co/bioptimus/H-optimus-{number}",
    )


H0_MINI = PatchEncoder(
    name="h0_mini",
    architecture=TimmModel(
        "vit_base_patch14_reg4_dinov2",
        {"img_size": 224, "init_values": 1e-5, "mlp_ratio": 5.33334, "global_pool": "", "dynamic_img_size": False},
        {"mlp_layer": "timm.layers.SwiGLUPacked", "act_layer": "torch.nn.SiLU"},
    ),
    source=HubWeights("bioptimus/H0-mini", gated=True),
    dim=1536,
    transform=h_optimus_transform("bicubic"),
    pooling=ClassAndMean(first=5),
    output="class+mean",
    outputs=(
        Output(
            word="class",
            name="h0_mini_cls",
            aliases=("h0-mini",),
            dim=768,
            pooling=class_token,
            leads=True,
            note="Class token alone, as TRIDENT takes it and calls it h0-mini; AtlasPatch's h0_mini has 1536 numbers.",
        ),
    ),
    precision="float16",
    license=CC_BY_NC_ND,
    gated=True,
    patch_size=224,
    magnification=20,
    homepage="https://huggingface.co/bioptimus/H0-mini",
    note="Class token and mean of patch tokens, as AtlasPatch takes it; TRIDENT's h0-mini is h0_mini_cls.",
)

BIOPTIMUS = (
    _h_optimus(0, APACHE_2),
    _h_optimus(1, CC_BY_NC_ND),
    H0_MINI,
)

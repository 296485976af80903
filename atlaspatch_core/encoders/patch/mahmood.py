"""UNI and CONCH of Mahmood Lab."""

from atlaspatch_core.encoders.architecture import PackageModel, TimmModel
from atlaspatch_core.encoders.declaration import IMAGENET_MEAN, IMAGENET_STD, PatchEncoder, Transform, WithoutCode
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import CC_BY_NC_ND
from atlaspatch_core.encoders.patch.conch_vision import FILE as VISION_FILE
from atlaspatch_core.encoders.patch.conch_vision import ConchVision, is_vision_file
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.transforms import IMAGENET_224, clip_transform

UNI_V1 = PatchEncoder(
    name="uni_v1",
    architecture=TimmModel("vit_large_patch16_224", {"init_values": 1e-5, "dynamic_img_size": True}),
    source=HubWeights("MahmoodLab/uni", gated=True),
    dim=1024,
    transform=IMAGENET_224,
    precision="float16",
    license=CC_BY_NC_ND,
    gated=True,
    patch_size=256,
    magnification=20,
    homepage="https://huggingface.co/MahmoodLab/UNI",
)

UNI_V2 = PatchEncoder(
    name="uni_v2",
    architecture=TimmModel(
        "vit_giant_patch14_224",
        {
            "img_size": 224,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
            "dynamic_img_size": True,
        },
        {"mlp_layer": "timm.layers.SwiGLUPacked", "act_layer": "torch.nn.SiLU"},
    ),
    source=HubWeights("MahmoodLab/UNI2-h", gated=True),
    dim=1536,
    transform=IMAGENET_224,
    precision="bfloat16",
    license=CC_BY_NC_ND,
    gated=True,
    patch_size=256,
    magnification=20,
    homepage="https://huggingface.co/MahmoodLab/UNI2-h",
)


@named("_conch_v1_pooling")
def _conch_v1_pooling(network, pixels):
    return network.encode_image(pixels, proj_contrast=False, normalize=False)


CONCH_V1 = PatchEncoder(
    name="conch_v1",
    architecture=PackageModel(
        "atlaspatch_core.encoders.patch.packages:conch", name="atlaspatch_core.encoders.patch.packages:conch"
    ),
    source=HubWeights("MahmoodLab/conch", ("pytorch_model.bin",), gated=True),
    dim=512,
    transform=clip_transform(448),
    pooling=_conch_v1_pooling,
    license=CC_BY_NC_ND,
    gated=True,
    patch_size=512,
    magnification=20,
    extra="conch",
    homepage="https://huggingface.co/MahmoodLab/CONCH",
    note="Needs the package conch from GitHub.",
)

CONCH_V15 = PatchEncoder(
    name="conch_v15",
    aliases=("conch_v1_5",),
    architecture=RemoteModel(part="return_conch"),
    source=HubWeights("MahmoodLab/TITAN", None, gated=True),
    without_code=WithoutCode(
        ConchVision(), HubWeights("MahmoodLab/conchv1_5", (VISION_FILE,), gated=True), is_vision_file
    ),
    dim=768,
    transform=Transform(448, 448, "bilinear", IMAGENET_MEAN, IMAGENET_STD),
    precision="float16",
    license=CC_BY_NC_ND,
    gated=True,
    patch_size=512,
    magnification=20,
    extra="hub",
    homepage="https://huggingface.co/MahmoodLab/conchv1_5",
    note="From pytorch_model_vision.bin no code of others is run; where the project allows it, from TITAN by its code.",
)

MAHMOOD = (UNI_V1, UNI_V2, CONCH_V1, CONCH_V15)

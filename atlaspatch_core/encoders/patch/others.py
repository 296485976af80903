"""Encoders of groups that gave one each: PathOrchestra, OpenMidnight, OpenPath, GPFM, mSTAR, SP22M, KEEP, GenBio."""

from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.adapting import ModelPart, dinov2_as_timm, dinov3_as_timm
from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import APACHE_2, CC_BY_NC, CC_BY_NC_ND, CC_BY_NC_SA, GENBIO, MIT
from atlaspatch_core.encoders.pooling import encoded_image
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.transforms import IMAGENET_224, IMAGENET_224_BICUBIC

if TYPE_CHECKING:
    from torch import Tensor

PATHORCHESTRA = PatchEncoder(
    name="pathorchestra",
    architecture=TimmModel("vit_large_patch16_224", {"init_values": 1e-5, "dynamic_img_size": True}),
    source=HubWeights("AI4Pathology/PathOrchestra", gated=True),
    dim=1024,
    transform=IMAGENET_224,
    autocast=False,
    license=CC_BY_NC_ND,
    gated=True,
    homepage="https://huggingface.co/AI4Pathology/PathOrchestra",
)

OPENMIDNIGHT = PatchEncoder(
    name="openmidnight",
    architecture=TimmModel("vit_giant_patch14_reg4_dinov2", {"img_size": 224}),
    source=HubWeights("SophontAI/OpenMidnight", ("teacher_checkpoint_load.pt",), gated=True),
    dim=1536,
    transform=IMAGENET_224,
    adapt=dinov2_as_timm,
    precision="float16",
    license=APACHE_2,
    gated=True,
    patch_size=224,
    magnification=20,
    mpp=(0.25, 2),
    homepage="https://huggingface.co/SophontAI/OpenMidnight",
    facts="[homepage](https://huggingface.co/SophontAI/OpenMidnight), whose form asks for an e-mail of an institution; "
    "patch size and scale as TRIDENT recommends",
)

OPENPATH = PatchEncoder(
    name="openpath",
    architecture=TimmModel("vit_giant_patch14_reg4_dinov2", {"img_size": 224}),
    source=HubWeights(
        "taejoon89/openpath",
        ("teacher_checkpoint.pth",),
        revision="22b339237195931eb56ea6c86653362edd2dd155",
        sha256="1b389360b4867b5159ce7534ff231f51e87d3cf140daa4b37483d0a178af3da3",
    ),
    dim=1536,
    transform=IMAGENET_224,
    adapt=dinov2_as_timm,
    license=APACHE_2,
    patch_size=224,
    magnification=20,
    homepage="https://huggingface.co/taejoon89/openpath",
    facts="README, which says ~40x / 0.5 µm/px: the latter, 20x, as raw2features; it names no interpolation",
)

GPFM = PatchEncoder(
    name="gpfm",
    architecture=TimmModel("vit_large_patch14_dinov2", {"img_size": 224, "init_values": 1e-5}),
    source=HubWeights("majiabo/GPFM", ("GPFM.pth",)),
    dim=1024,
    transform=IMAGENET_224_BICUBIC,
    adapt=dinov2_as_timm,
    precision="float16",
    license=CC_BY_NC,
    patch_size=224,
    magnification=20,
    homepage="https://huggingface.co/majiabo/GPFM",
)

MSTAR = PatchEncoder(
    name="mstar",
    architecture=TimmModel("vit_large_patch16_224", {"init_values": 1e-5, "dynamic_img_size": True}),
    source=HubWeights("Wangyh/mSTAR", gated=True),
    dim=1024,
    transform=IMAGENET_224,
    license=CC_BY_NC_ND,
    gated=True,
    magnification=20,
    homepage="https://huggingface.co/Wangyh/mSTAR",
    note="Prepared as its makers write; the configuration beside its weights names other numbers.",
    facts="README of github.com/Innse/mSTAR; the scale as LazySlide, slide2vec and raw2features have it",
)

SP22M = PatchEncoder(
    name="sp22m",
    architecture=TimmModel("vit_small_patch16_224"),
    source=HubWeights("MountSinaiCompPath/SP22M", ("pytorch_model.bin",)),
    dim=384,
    transform=IMAGENET_224_BICUBIC,
    adapt=ModelPart("encoder."),
    license=CC_BY_NC_SA,
    patch_size=224,
    magnification=20,
    homepage="https://huggingface.co/MountSinaiCompPath/SP22M",
    facts="Page and arXiv 2310.07033 (scale); the layout of the weights and the interpolation as raw2features has them",
)

KEEP = PatchEncoder(
    name="keep",
    architecture=RemoteModel(),
    source=HubWeights("Astaxanthin/KEEP", None),
    dim=768,
    transform=IMAGENET_224_BICUBIC,
    pooling=encoded_image,
    precision="float16",
    license=MIT,
    patch_size=256,
    magnification=20,
    extra="hub",
    homepage="https://huggingface.co/Astaxanthin/KEEP",
    note="Its Python code comes with the weights and is run only where the project allows it.",
)


@named("each_channel")
def each_channel(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the class tokens of red, green and blue side by side, (b, 3d), from a network of one channel."""
    batch, channels, height, width = pixels.shape
    return network(pixels.reshape(batch * channels, 1, height, width)).reshape(batch, -1)


GENBIO_PATHFM = PatchEncoder(
    name="genbio-pathfm",
    aliases=("genbio_pathfm",),
    architecture=TimmModel(
        "vit_7b_patch16_dinov3",
        {
            "in_chans": 1,
            "embed_dim": 1536,
            "depth": 40,
            "num_heads": 24,
            "mlp_ratio": 8 / 3,
            "global_pool": "token",
            "dynamic_img_size": True,
        },
    ),
    source=HubWeights("genbio-ai/genbio-pathfm", ("model.pth",)),
    dim=4608,
    transform=Transform(224, 224, "bilinear", (0.697, 0.575, 0.728), (0.188, 0.240, 0.187)),
    pooling=each_channel,
    adapt=dinov3_as_timm,
    precision="bfloat16",
    license=GENBIO,
    patch_size=224,
    magnification=20,
    homepage="https://huggingface.co/genbio-ai/genbio-pathfm",
)

OTHERS = (PATHORCHESTRA, OPENMIDNIGHT, OPENPATH, GPFM, MSTAR, SP22M, KEEP, GENBIO_PATHFM)

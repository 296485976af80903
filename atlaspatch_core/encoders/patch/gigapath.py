"""Patch encoders of Prov-GigaPath (Microsoft and Providence): the first one, and the small one of GigaPath-Flash."""

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import APACHE_2
from atlaspatch_core.encoders.transforms import IMAGENET_256_224_BICUBIC

PROV_GIGAPATH = PatchEncoder(
    name="prov_gigapath",
    aliases=("gigapath",),
    architecture=TimmModel(
        "vit_giant_patch14_dinov2",
        {
            "img_size": 224,
            "patch_size": 16,
            "depth": 40,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 5.33334,
        },
    ),
    source=HubWeights("prov-gigapath/prov-gigapath", ("pytorch_model.bin",), gated=True),
    dim=1536,
    transform=IMAGENET_256_224_BICUBIC,
    precision="float16",
    license=APACHE_2,
    gated=True,
    patch_size=256,
    magnification=20,
    homepage="https://huggingface.co/prov-gigapath/prov-gigapath",
)

GIGAPATH_FLASH = PatchEncoder(
    name="gigapath-flash",
    aliases=("gigapath_flash",),
    architecture=TimmModel(
        "vit_small_patch16_224",
        {"init_values": 1e-5, "mlp_ratio": 2048 / 384},
        {"mlp_layer": "timm.layers.SwiGLUPacked", "act_layer": "torch.nn.SiLU"},
    ),
    source=HubWeights("prov-gigapath/prov-gigapath-flash", ("pytorch_model.bin",), gated=True),
    dim=384,
    transform=IMAGENET_256_224_BICUBIC,
    precision="float16",
    license=APACHE_2,
    gated=True,
    patch_size=256,
    magnification=20,
    homepage="https://huggingface.co/prov-gigapath/prov-gigapath-flash",
    note="A fiftieth of prov_gigapath's parameters; the authors ask for research use alone.",
    facts="Network of gigapath/tile_encoder.py in its repository; the rest as raw2features and LazySlide have it",
)

GIGAPATH = (PROV_GIGAPATH, GIGAPATH_FLASH)

"""Lunit's self-supervised networks (https://github.com/lunit-io/benchmark-ssl-pathology), in timm's layout."""

from atlaspatch_core.encoders.adapting import Without
from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import Interpolation, PatchEncoder, Transform
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import LUNIT

MEAN = (0.70322989, 0.53606487, 0.66096631)
STD = (0.21716536, 0.26081574, 0.20723464)


def _lunit(
    name: str,
    model: str,
    repository: str,
    dim: int,
    transform: tuple[int, Interpolation],
    aliases: tuple[str, ...] = (),
    facts: str = "",
) -> PatchEncoder:
    resize, interpolation = transform
    page = f"https://huggingface.co/1aurent/{repository}"
    return PatchEncoder(
        name=name,
        aliases=aliases,
        architecture=TimmModel(model),
        source=HubWeights(f"1aurent/{repository}"),
        dim=dim,
        transform=Transform(resize, 224, interpolation, MEAN, STD),
        adapt=Without(("fc", "head")),
        license=LUNIT,
        patch_size=224,
        magnification=20,
        mpp=(0.25, 0.5),
        homepage=page,
        facts=f"[homepage]({page}); {facts}" if facts else "",
    )


RESNET: tuple[int, Interpolation] = (235, "bicubic")
VIT: tuple[int, Interpolation] = (248, "bicubic")
OF_RESNET = (
    "mean and deviation are Lunit's own (github.com/lunit-io/benchmark-ssl-pathology): config.json has ImageNet's"
)

LUNIT_ENCODERS = (
    _lunit("lunit_resnet50_bt", "resnet50", "resnet50.lunit_bt", 2048, RESNET, facts=OF_RESNET),
    _lunit("lunit_resnet50_swav", "resnet50", "resnet50.lunit_swav", 2048, RESNET, facts=OF_RESNET),
    _lunit("lunit_resnet50_mocov2", "resnet50", "resnet50.lunit_mocov2", 2048, RESNET, facts=OF_RESNET),
    _lunit("lunit_vit_small_patch16_dino", "vit_small_patch16_224", "vit_small_patch16_224.lunit_dino", 384, VIT),
    _lunit(
        "lunit_vit_small_patch8_dino",
        "vit_small_patch8_224",
        "vit_small_patch8_224.lunit_dino",
        384,
        VIT,
        ("lunit-vits8", "lunit_vits8"),
    ),
)

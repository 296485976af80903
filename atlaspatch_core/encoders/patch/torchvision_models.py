"""torchvision's classifiers, trained on ImageNet, without their last layer.

Weights: https://docs.pytorch.org/vision/stable/models.html, ``IMAGENET1K_V1``; ViT-H/14 has SWAG's only.
"""

from atlaspatch_core.encoders.adapting import Without
from atlaspatch_core.encoders.architecture import TimmModel, TorchvisionModel
from atlaspatch_core.encoders.declaration import IMAGENET_MEAN, IMAGENET_STD, Interpolation, PatchEncoder, Transform
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import APACHE_2, BSD_3
from atlaspatch_core.encoders.pooling import flattened, mean_of_map
from atlaspatch_core.encoders.transforms import IMAGENET_224
from atlaspatch_core.encoders.url import UrlWeights

PAGE = "https://docs.pytorch.org/vision/stable/models.html"


def _source(file: str) -> UrlWeights:
    return UrlWeights(f"https://download.pytorch.org/models/{file}.pth")


def _transform(resize: int, crop: int = 224, interpolation: Interpolation = "bilinear") -> Transform:
    return Transform(resize, crop, interpolation, IMAGENET_MEAN, IMAGENET_STD)


def _resnet(name: str, digits: str, dim: int, note: str = "", *aliases: str) -> PatchEncoder:
    return PatchEncoder(
        name=name,
        aliases=aliases,
        architecture=TorchvisionModel(name, "fc"),
        source=_source(f"{name}-{digits}"),
        dim=dim,
        transform=_transform(256),
        adapt=Without(("fc",)),
        autocast=False,
        license=BSD_3,
        homepage=PAGE,
        note=note,
    )


def _convnext(name: str, digits: str, dim: int, resize: int) -> PatchEncoder:
    return PatchEncoder(
        name=name,
        architecture=TorchvisionModel(name, "classifier"),
        source=_source(f"{name}-{digits}"),
        dim=dim,
        transform=_transform(resize),
        pooling=flattened,
        adapt=Without(("classifier",)),
        autocast=False,
        license=BSD_3,
        homepage=PAGE,
        note="Mean of the feature map, before the norm of the classifier.",
    )


def _vit(name: str, file: str, dim: int, transform: Transform, image_size: int = 224) -> PatchEncoder:
    return PatchEncoder(
        name=name,
        architecture=TorchvisionModel(name, "heads", {"image_size": image_size}),
        source=_source(file),
        dim=dim,
        transform=transform,
        adapt=Without(("heads",)),
        autocast=False,
        license=BSD_3,
        homepage=PAGE,
    )


RESNET50_LAYER3 = PatchEncoder(
    name="resnet50_layer3",
    aliases=("trident-resnet50",),
    architecture=TimmModel("resnet50", {"features_only": True, "out_indices": [3]}),
    source=HubWeights("timm/resnet50.tv_in1k"),
    dim=1024,
    transform=IMAGENET_224,
    pooling=mean_of_map,
    adapt=Without(("fc", "layer4")),
    license=APACHE_2,
    patch_size=256,
    magnification=20,
    homepage="https://huggingface.co/timm/resnet50.tv_in1k",
    note="Mean of the third of four stages, as CLAM and TRIDENT take it; TRIDENT calls it resnet50.",
)

TORCHVISION = (
    _resnet("resnet18", "f37072fd", 512),
    _resnet("resnet34", "b627a593", 512),
    _resnet(
        "resnet50",
        "0676ba61",
        2048,
        "Pooled, as AtlasPatch takes it; TRIDENT's is resnet50_layer3.",
        "atlaspatch-resnet50",
    ),
    _resnet("resnet101", "63fe2227", 2048),
    _resnet("resnet152", "394f9c45", 2048),
    RESNET50_LAYER3,
    _convnext("convnext_tiny", "983f1562", 768, 236),
    _convnext("convnext_small", "0c510722", 768, 230),
    _convnext("convnext_base", "6075fbad", 1024, 232),
    _convnext("convnext_large", "ea097f82", 1536, 232),
    _vit("vit_b_16", "vit_b_16-c867db91", 768, _transform(256)),
    _vit("vit_b_32", "vit_b_32-d86f8d99", 768, _transform(256)),
    _vit("vit_l_16", "vit_l_16-852ce7e3", 1024, _transform(242)),
    _vit("vit_l_32", "vit_l_32-c7638314", 1024, _transform(256)),
    _vit("vit_h_14", "vit_h_14_swag-80465313", 1280, _transform(518, 518, "bicubic"), 518),
)

"""Virchow of Paige."""

from typing import Any

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import Output, PatchEncoder
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import APACHE_2, CC_BY_NC_ND
from atlaspatch_core.encoders.pooling import ClassAndMean, class_token
from atlaspatch_core.encoders.transforms import IMAGENET_224_BICUBIC


def _virchow(
    name: str,
    alias: str,
    repository: str,
    license: str,  # noqa: A002
    mpp: tuple[float, float] | None = None,
    **options: Any,
) -> PatchEncoder:
    return PatchEncoder(
        name=name,
        aliases=(alias,),
        architecture=TimmModel(
            "vit_huge_patch14_224",
            {"init_values": 1e-5, "mlp_ratio": 5.3375, "global_pool": "", "dynamic_img_size": True, **options},
            {"mlp_layer": "timm.layers.SwiGLUPacked", "act_layer": "torch.nn.SiLU"},
        ),
        source=HubWeights(repository, gated=True),
        dim=2560,
        transform=IMAGENET_224_BICUBIC,
        pooling=ClassAndMean(first=1 + options.get("reg_tokens", 0)),
        output="class+mean",
        outputs=(
            Output(
                word="class", name=f"{name}_cls", aliases=(f"{alias}_cls",), dim=1280, pooling=class_token, leads=True
            ),
        ),
        precision="float16",
        license=license,
        gated=True,
        patch_size=224,
        magnification=20,
        mpp=mpp,
        homepage=f"https://huggingface.co/{repository}",
    )


PAIGE = (
    _virchow("virchow_v1", "virchow", "paige-ai/Virchow", APACHE_2),
    _virchow("virchow_v2", "virchow2", "paige-ai/Virchow2", CC_BY_NC_ND, (0.25, 2), reg_tokens=4),
)

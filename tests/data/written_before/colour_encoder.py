from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder, Transform
from atlaspatch_core.encoders.weights import BuiltIn


def network():
    import torch

    class MeanColour(torch.nn.Module):
        def forward(self, pixels):
            return pixels.mean(dim=(2, 3))

    return MeanColour()


def twice(network, pixels):
    import torch

    return torch.cat([network(pixels), network(pixels) ** 2], dim=1)


def largest(network, features, coords, patch_size_level0):
    return features.max(axis=0)


UNIT = Transform(None, None, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
PATCH_ENCODERS = [
    PatchEncoder(
        name="colour", architecture=Built(network), source=BuiltIn(), dim=6, transform=UNIT, pooling=twice, license="MIT"
    )
]
SLIDE_ENCODERS = [SlideEncoder(name="max-colour", patch_encoder="colour", dim=6, forward=largest, license="MIT")]

"""Hibou of HistAI, whose code lies beside its weights."""

from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import APACHE_2
from atlaspatch_core.encoders.pooling import pooler_output
from atlaspatch_core.encoders.remote import RemoteModel

TRANSFORM = Transform(224, 224, "bicubic", (0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816))


def _hibou(size: str, dim: int) -> PatchEncoder:
    repository = f"histai/hibou-{size}"
    return PatchEncoder(
        name=f"hibou_{size.lower()}",
        architecture=RemoteModel(),
        source=HubWeights(repository, None, gated=True),
        dim=dim,
        transform=TRANSFORM,
        pooling=pooler_output,
        license=APACHE_2,
        gated=True,
        patch_size=224,
        magnification=20,
        extra="hub",
        homepage=f"https://huggingface.co/{repository}",
        note="Its Python code comes with the weights and is run only where the project allows it.",
    )


HISTAI = (_hibou("B", 768), _hibou("L", 1024))

"""RudolfV 2 of Aignostics, large, and the two distilled from it; their code lies beside their weights."""

from atlaspatch_core.encoders.declaration import Output, PatchEncoder, Transform
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import AIGNOSTICS
from atlaspatch_core.encoders.pooling import HiddenClassAndMean, hidden_class_token
from atlaspatch_core.encoders.remote import RemoteModel

TRANSFORM = Transform(224, 224, "bicubic", (0.7072, 0.5787, 0.7036), (0.2119, 0.2301, 0.1775))
REGISTERS = 8


def _rudolf(size: str, dim: int, revision: str) -> PatchEncoder:
    repository = f"Aignostics/RudolfV-2{size.upper()}"
    name = f"rudolfv2{size}"
    underscored = name.replace("-", "_")
    return PatchEncoder(
        name=name,
        aliases=(underscored,) if size else (),
        architecture=RemoteModel(),
        source=HubWeights(repository, None, revision=revision, gated=True),
        dim=dim,
        transform=TRANSFORM,
        pooling=hidden_class_token,
        output="class",
        outputs=(
            Output(
                word="class+mean",
                name=f"{underscored}_cls_mean",
                dim=2 * dim,
                pooling=HiddenClassAndMean(first=1 + REGISTERS),
            ),
        ),
        license=AIGNOSTICS,
        gated=True,
        patch_size=224,
        magnification=20,
        mpp=(0.25, 2),
        extra="hub",
        homepage=f"https://huggingface.co/{repository}",
        note="Its Python code comes with the weights and is run only where the project allows it.",
        facts="Page; revision, preparation, registers and scales as slide2vec and LazySlide have them",
    )


RUDOLFV2 = (
    _rudolf("", 1536, "482d9519c6a10fc22fbe5bcd6a87d5daf056643c"),
    _rudolf("-b", 768, "b2cb55c8fff8aaaf9cc16fda6d09bfb21dfc6db8"),
    _rudolf("-s", 384, "76abacd512a98c72a6db6192af9fc98313c3bd78"),
)

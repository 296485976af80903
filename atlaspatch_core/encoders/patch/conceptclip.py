"""ConceptCLIP, a SigLIP tuned on images and concepts of all medicine."""

from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.declaration import HALF, PatchEncoder, Transform
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import MIT
from atlaspatch_core.encoders.remote import RemoteModel

if TYPE_CHECKING:
    from torch import Tensor


@named("first_of_encoded_image")
def first_of_encoded_image(network: Any, pixels: "Tensor") -> "Tensor":
    """Return the vector of the whole image that ``encode_image`` gives before those of its parts, of any length."""
    return network.encode_image(pixels, normalize=False)[0]


CONCEPTCLIP = PatchEncoder(
    name="conceptclip",
    architecture=RemoteModel(),
    source=HubWeights("JerrryNie/ConceptCLIP", files=None, gated=True),
    dim=1152,
    transform=Transform(384, 384, "bicubic", HALF, HALF),
    pooling=first_of_encoded_image,
    license=MIT,
    gated=True,
    patch_size=384,
    extra="hub",
    homepage="https://huggingface.co/JerrryNie/ConceptCLIP",
    facts="normalisation and vector: code for whole slides of https://github.com/JerrryNie/ConceptCLIP",
    note="Of all medicine; vectors of any length.",
)

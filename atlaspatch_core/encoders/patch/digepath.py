"""Digepath, for the digestive tract."""

from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.licenses import CC_BY_NC
from atlaspatch_core.encoders.transforms import IMAGENET_224

DIGEPATH = PatchEncoder(
    name="digepath",
    architecture=TimmModel("vit_large_patch16_224", {"init_values": 1e-5, "dynamic_img_size": True}),
    source=HubWeights("xtxx/Digepath", gated=True),
    dim=1024,
    transform=IMAGENET_224,
    license=CC_BY_NC,
    gated=True,
    patch_size=224,
    homepage="https://huggingface.co/xtxx/Digepath",
    facts="network and normalisation: https://github.com/lingxitong/Digepath; licence: the page of the weights; 224 px "
    "is the input of its network, and no scale is stated, for the page says that it was trained on images of several: "
    "256 px at 20x, as other tools have it, is stated by neither",
    note="For stomach and bowel; trained on several scales.",
)

"""CHIEF: attention learnt from 60,530 slides, over the features of its own patch encoder (Wang et al. 2024, Nature)."""

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.slide.attention import AttentionPool, renamed
from atlaspatch_core.encoders.slide.calling import pool, pool_attention
from atlaspatch_core.encoders.weights import NotGiven, local_copy

PAGE = "https://github.com/hms-dbmi/CHIEF"

CHIEF = SlideEncoder(
    name="chief",
    patch_encoder="chief-ctranspath",
    dim=768,
    forward=pool,
    attention=pool_attention,
    architecture=AttentionPool(768, 512, 256, pools_features=True),
    source=NotGiven(f"get CHIEF_pretraining.pth from {PAGE} and name it: {local_copy('chief')}"),
    adapt=renamed({"attention_net.0.": "patch_embed.0.", "attention_net.3.": "global_attn."}),
    license="AGPL-3.0-only",
    patch_size=256,
    magnification=10,
    homepage=PAGE,
    note="Mean of the chief-ctranspath features by learnt attention; the site of the organ does not change it.",
)

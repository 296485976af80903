"""THREADS: announced by its makers, not released (Vaidya et al. 2025, arXiv:2501.16652)."""

from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.slide.calling import pool
from atlaspatch_core.encoders.weights import NotGiven

THREADS = SlideEncoder(
    name="threads",
    patch_encoder="conch_v15",
    dim=None,
    forward=pool,
    source=NotGiven("it is not released yet; use titan or feather"),
    license="not released",
    gated=True,
    patch_size=512,
    magnification=20,
    homepage="https://arxiv.org/abs/2501.16652",
    note="Announced by its makers, and not released yet.",
)

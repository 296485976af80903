"""Encoders of a name, whether they take patches or slides."""

from collections.abc import Mapping
from pathlib import Path

from atlaspatch_core.encoders.declaration import NO_PLUGINS, PatchEncoder, Plugins, SlideEncoder
from atlaspatch_core.encoders.names import NameNotFound, by_any_name, unknown
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS, find_slide_encoder
from atlaspatch_core.errors import UnknownName


def find_encoder(
    name: str, weights: Mapping[str, Path] | None = None, plugins: Plugins = NO_PLUGINS
) -> PatchEncoder | SlideEncoder:
    """Return the encoder of a name or an alias, of patches or else of slides.

    Raises UnknownName: what is wrong with a part of the name, where the rest is known, else the names that are near.

    >>> find_encoder("UNI_v1").name, find_encoder("mean-uni_v1").dim
    ('uni_v1', 1024)
    """
    faults: list[UnknownName] = []
    for find in (find_patch_encoder, find_slide_encoder):
        try:
            return find(name, weights, plugins)
        except UnknownName as fault:
            faults.append(fault)
    names = [*by_any_name({**PATCH_ENCODERS, **plugins.patch}), *by_any_name({**SLIDE_ENCODERS, **plugins.slide})]
    raise next((fault for fault in faults if not isinstance(fault, NameNotFound)), unknown("encoder", name, names))

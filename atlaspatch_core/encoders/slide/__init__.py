"""The table of slide encoders; reading it imports no torch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from atlaspatch_core.encoders.declaration import NO_PLUGINS, Plugins, SlideEncoder
from atlaspatch_core.encoders.names import by_any_name, by_name, unknown
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.slide.mean import PREFIX as MEAN
from atlaspatch_core.encoders.slide.mean import mean_encoder
from atlaspatch_core.encoders.weights import local_weights

SLIDE_ENCODERS: Mapping[str, SlideEncoder] = by_name(*map(mean_encoder, PATCH_ENCODERS.values()))
"""Canonical name to declaration."""


def find_slide_encoder(
    name: str, weights: Mapping[str, Path] | None = None, plugins: Plugins = NO_PLUGINS
) -> SlideEncoder:
    """Return the slide encoder of a name or an alias, in any case of letters.

    ``mean-<patch encoder>`` exists for every patch encoder, also those of plugins and of timm. ``weights`` maps names
    to local files that take the place of the declared source. Raises UnknownName, with names that are near.
    """
    known = {**SLIDE_ENCODERS, **plugins.slide}
    encoder = by_any_name(known).get(name.lower())
    if encoder is None and name.lower().startswith(MEAN):
        encoder = mean_encoder(find_patch_encoder(name[len(MEAN) :], weights, plugins))
    if encoder is None:
        raise unknown("slide encoder", name, by_any_name(known))
    local = local_weights(encoder.name, (name, name.lower(), *encoder.aliases), weights or {})
    return encoder if local is None or encoder.source is None else replace(encoder, source=local)

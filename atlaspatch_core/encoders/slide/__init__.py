"""The table of slide encoders; reading it imports no torch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from atlaspatch_core.encoders.declaration import NO_PLUGINS, Plugins, SlideEncoder
from atlaspatch_core.encoders.names import by_any_name, by_name, unknown
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.recorded import as_doubted
from atlaspatch_core.encoders.slide.abmil import PREFIX as ABMIL
from atlaspatch_core.encoders.slide.abmil import abmil_encoder
from atlaspatch_core.encoders.slide.care import CARE
from atlaspatch_core.encoders.slide.chief import CHIEF
from atlaspatch_core.encoders.slide.cobra import COBRA
from atlaspatch_core.encoders.slide.eagle import EAGLE
from atlaspatch_core.encoders.slide.feather import FEATHER, FEATHER_UNI, FEATHER_UNI_V2
from atlaspatch_core.encoders.slide.gigapath import GIGAPATH, GIGAPATH_FLASH
from atlaspatch_core.encoders.slide.madeleine import MADELEINE
from atlaspatch_core.encoders.slide.mean import MAX, MEAN_AND_MAX, max_encoder, mean_and_max_encoder, mean_encoder
from atlaspatch_core.encoders.slide.mean import PREFIX as MEAN
from atlaspatch_core.encoders.slide.moozy import MOOZY
from atlaspatch_core.encoders.slide.prism import PRISM
from atlaspatch_core.encoders.slide.prism2 import PRISM2
from atlaspatch_core.encoders.slide.tangle import TANGLE
from atlaspatch_core.encoders.slide.threads import THREADS
from atlaspatch_core.encoders.slide.titan import TITAN
from atlaspatch_core.encoders.weights import local_weights
from atlaspatch_core.errors import UnknownName

SLIDE_ENCODERS: Mapping[str, SlideEncoder] = by_name(
    TITAN,
    PRISM,
    *PRISM2,
    MOOZY,
    GIGAPATH,
    GIGAPATH_FLASH,
    CHIEF,
    MADELEINE,
    FEATHER,
    FEATHER_UNI,
    FEATHER_UNI_V2,
    CARE,
    EAGLE,
    *COBRA,
    TANGLE,
    *map(mean_encoder, PATCH_ENCODERS.values()),
)
"""Canonical name to declaration."""

UNRELEASED: Mapping[str, SlideEncoder] = by_name(THREADS)
"""Announced by their makers, and not to be had."""

FOR_EVERY_PATCH_ENCODER = {
    MEAN: mean_encoder,
    MAX: max_encoder,
    MEAN_AND_MAX: mean_and_max_encoder,
    ABMIL: abmil_encoder,
}


def find_slide_encoder(
    name: str, weights: Mapping[str, Path] | None = None, plugins: Plugins = NO_PLUGINS
) -> SlideEncoder:
    """Return the slide encoder of a name or an alias, in any case of letters.

    ``mean-``, ``max-``, ``meanmax-`` and ``abmil-<patch encoder>`` exist for every patch encoder, also those of plugins
    and of timm. ``weights`` maps names to local files that take the place of the declared source. Raises UnknownName,
    with names that are near.
    """
    encoders = {**SLIDE_ENCODERS, **plugins.slide}
    encoder = by_any_name(encoders).get(name.lower())
    fault = None if encoder else _unavailable(name)
    encoder = encoder or (None if fault else _of_patch_encoder(name, weights, plugins))
    if encoder is None:
        raise fault or unknown("slide encoder", name, [*by_any_name(encoders), f"{ABMIL}<patch encoder>"])
    local = local_weights(encoder.name, (name, name.lower(), *encoder.aliases), weights or {})
    return encoder if local is None or encoder.source is None else replace(encoder, source=local)


def _of_patch_encoder(name: str, weights: Mapping[str, Path] | None, plugins: Plugins) -> SlideEncoder | None:
    for prefix, make in FOR_EVERY_PATCH_ENCODER.items():
        if name.lower().startswith(prefix):
            patch_encoder = find_patch_encoder(name[len(prefix) :], weights, plugins)
            return as_doubted(make(patch_encoder), patch_encoder)
    return None


def _unavailable(name: str) -> UnknownName | None:
    """Return why a name that people know is none here."""
    if encoder := UNRELEASED.get(name.lower()):
        return UnknownName(
            f"{encoder.name}: announced by its makers ({encoder.homepage}) and not released yet; use titan or feather"
        )
    if name.lower().rstrip("-") == ABMIL.rstrip("-"):
        return UnknownName(
            f"{name}: say whose features it was trained on, as in {ABMIL}uni_v1, and name its checkpoint"
        )
    if name.lower() in FOR_EVERY_PATCH_ENCODER:
        return UnknownName(f"{name}: say whose features, as in {name.lower()}uni_v1")
    return None

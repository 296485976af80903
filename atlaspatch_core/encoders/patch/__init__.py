"""The table of patch encoders; reading it imports no torch."""

from collections.abc import Mapping
from pathlib import Path

from atlaspatch_core.encoders.declaration import NO_PLUGINS, PatchEncoder, Plugins
from atlaspatch_core.encoders.names import by_any_name, by_name, unknown
from atlaspatch_core.encoders.patch.bioptimus import BIOPTIMUS
from atlaspatch_core.encoders.patch.chief import CTRANSPATH
from atlaspatch_core.encoders.patch.contrastive import CONTRASTIVE
from atlaspatch_core.encoders.patch.efficientnet import EFFICIENTNETS
from atlaspatch_core.encoders.patch.gigapath import GIGAPATH
from atlaspatch_core.encoders.patch.google import GOOGLE
from atlaspatch_core.encoders.patch.histai import HISTAI
from atlaspatch_core.encoders.patch.kaiko import KAIKO_ENCODERS
from atlaspatch_core.encoders.patch.lunit import LUNIT_ENCODERS
from atlaspatch_core.encoders.patch.mahmood import MAHMOOD
from atlaspatch_core.encoders.patch.meta import META
from atlaspatch_core.encoders.patch.others import OTHERS
from atlaspatch_core.encoders.patch.owkin import OWKIN_ENCODERS
from atlaspatch_core.encoders.patch.paige import PAIGE
from atlaspatch_core.encoders.patch.stanford import STANFORD
from atlaspatch_core.encoders.patch.timm_models import PREFIX as TIMM
from atlaspatch_core.encoders.patch.timm_models import timm_encoder
from atlaspatch_core.encoders.patch.torchvision_models import TORCHVISION
from atlaspatch_core.encoders.weights import local_weights

PATCH_ENCODERS: Mapping[str, PatchEncoder] = by_name(
    *EFFICIENTNETS,
    *CTRANSPATH,
    *(*MAHMOOD, *PAIGE, *BIOPTIMUS, *OWKIN_ENCODERS, *KAIKO_ENCODERS, *HISTAI, *LUNIT_ENCODERS, *STANFORD),
    *GIGAPATH,
    *OTHERS,
    *(*CONTRASTIVE, *META, *TORCHVISION, *GOOGLE),
)
"""Canonical name to declaration."""


def find_patch_encoder(
    name: str, weights: Mapping[str, Path] | None = None, plugins: Plugins = NO_PLUGINS
) -> PatchEncoder:
    """Return the patch encoder of a name or an alias, in any case of letters.

    ``weights`` maps names to local files or folders that take the place of the declared source, as do those in the
    folder ``ATLASPATCH_WEIGHTS``.
    ``timm-<model name>`` is any model of timm. Raises UnknownName, with names that are near.

    Example:
        >>> find_patch_encoder("Virchow2").name, find_patch_encoder("Virchow2").dim
        ('virchow_v2', 2560)
    """
    encoders = {**PATCH_ENCODERS, **plugins.patch}
    encoder = by_any_name(encoders).get(name.lower())
    if encoder is None and name.lower().startswith(TIMM):
        encoder = timm_encoder(name)
    if encoder is None:
        raise unknown("patch encoder", name, [*by_any_name(encoders), f"{TIMM}<model name>"])
    local = local_weights(encoder.name, (name, name.lower(), *encoder.aliases), weights or {})
    return encoder if local is None else encoder.with_local_weights(local, local.path)

"""The table of patch encoders; reading it imports no torch."""

from collections.abc import Mapping
from pathlib import Path

from atlaspatch_core.encoders.declaration import NO_PLUGINS, PatchEncoder, Plugins
from atlaspatch_core.encoders.names import by_any_name, by_name, unknown
from atlaspatch_core.encoders.patch.aignostics import RUDOLFV2
from atlaspatch_core.encoders.patch.beph import BEPH
from atlaspatch_core.encoders.patch.bioptimus import BIOPTIMUS
from atlaspatch_core.encoders.patch.chief import CTRANSPATH
from atlaspatch_core.encoders.patch.conceptclip import CONCEPTCLIP
from atlaspatch_core.encoders.patch.contrastive import CONTRASTIVE
from atlaspatch_core.encoders.patch.digepath import DIGEPATH
from atlaspatch_core.encoders.patch.efficientnet import EFFICIENTNETS
from atlaspatch_core.encoders.patch.gigapath import GIGAPATH
from atlaspatch_core.encoders.patch.google import GOOGLE
from atlaspatch_core.encoders.patch.histai import HISTAI
from atlaspatch_core.encoders.patch.isight import ISIGHT
from atlaspatch_core.encoders.patch.kaiko import KAIKO_ENCODERS
from atlaspatch_core.encoders.patch.lunit import LUNIT_ENCODERS
from atlaspatch_core.encoders.patch.mahmood import MAHMOOD
from atlaspatch_core.encoders.patch.meta import META
from atlaspatch_core.encoders.patch.nvidia import RADIO
from atlaspatch_core.encoders.patch.others import OTHERS
from atlaspatch_core.encoders.patch.owkin import OWKIN_ENCODERS
from atlaspatch_core.encoders.patch.paige import PAIGE
from atlaspatch_core.encoders.patch.pathoduet import PATHODUET
from atlaspatch_core.encoders.patch.radboudumc import PROST40M
from atlaspatch_core.encoders.patch.retccl import RETCCL
from atlaspatch_core.encoders.patch.slideflow import METTLE
from atlaspatch_core.encoders.patch.stanford import STANFORD
from atlaspatch_core.encoders.patch.timm_models import PREFIX as TIMM
from atlaspatch_core.encoders.patch.timm_models import timm_encoder
from atlaspatch_core.encoders.patch.torchvision_models import TORCHVISION
from atlaspatch_core.encoders.patch.waiv import WAIV_ENCODERS
from atlaspatch_core.encoders.weights import local_weights
from atlaspatch_core.errors import UnknownName

OF = ":"
"""Between the name of an encoder and that of one of its outputs."""

DECLARED: tuple[PatchEncoder, ...] = (
    *EFFICIENTNETS,
    *CTRANSPATH,
    *(*MAHMOOD, *PAIGE, *BIOPTIMUS, *OWKIN_ENCODERS, *KAIKO_ENCODERS, *HISTAI, *LUNIT_ENCODERS, *STANFORD),
    *GIGAPATH,
    *OTHERS,
    PROST40M,
    METTLE,
    *RUDOLFV2,
    *WAIV_ENCODERS,
    *(*PATHODUET, RETCCL, DIGEPATH, BEPH, ISIGHT),
    *(*CONTRASTIVE, CONCEPTCLIP, *META, *RADIO, *TORCHVISION, *GOOGLE),
)
"""One declaration a network."""

PATCH_ENCODERS: Mapping[str, PatchEncoder] = by_name(
    *(encoder for declared in DECLARED for encoder in declared.each_output())
)
"""Canonical name to encoder: of every network, each of its outputs."""


def find_patch_encoder(
    name: str, weights: Mapping[str, Path] | None = None, plugins: Plugins = NO_PLUGINS
) -> PatchEncoder:
    """Return the patch encoder of a name or an alias, in any case of letters.

    ``weights`` maps names to local files or folders that take the place of the declared source, as do those in the
    folder ``ATLASPATCH_WEIGHTS``.
    ``<name>:<output>`` is another output of the same network, such as ``virchow_v2:class``. ``timm-<model name>`` is
    any model of timm. Raises UnknownName, with names that are near.

    Example:
        >>> find_patch_encoder("Virchow2").name, find_patch_encoder("Virchow2").dim
        ('virchow_v2', 2560)
        >>> find_patch_encoder("virchow2:class").name, find_patch_encoder("virchow2:class").dim
        ('virchow_v2_cls', 1280)
    """
    table = {**PATCH_ENCODERS, **plugins.patch}
    network_name, of, output = name.partition(OF)
    encoder = by_any_name(table).get(network_name.lower())
    if encoder is None and network_name.lower().startswith(TIMM):
        encoder = timm_encoder(network_name)
    if encoder is None:
        raise unknown("patch encoder", network_name or name, [*by_any_name(table), f"{TIMM}<model name>"])
    encoder = _output_of(encoder, output, table) if of else encoder
    local = local_weights(encoder.name, (name, name.lower(), *encoder.aliases), weights or {}, encoder.network)
    return encoder if local is None else encoder.with_local_weights(local, local.path)


def _output_of(encoder: PatchEncoder, word: str, table: Mapping[str, PatchEncoder]) -> PatchEncoder:
    """Return the encoder of the same network that has this output. Raises UnknownName."""
    network = encoder.network or encoder.name
    outputs = {other.output: other for other in table.values() if network in (other.name, other.network)}
    key = word.lower().replace(" ", "-")
    if not key or key not in outputs:
        words = ", ".join(filter(None, outputs)) or "one alone, that needs no word"
        raise UnknownName(f"{network} has no output {word or repr(word)}; it has {words}")
    return outputs[key]

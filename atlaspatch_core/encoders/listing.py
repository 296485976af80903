"""What there is to know of every encoder without loading one; neither torch nor the network is touched."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from atlaspatch_core.encoders.any_kind import find_encoder
from atlaspatch_core.encoders.declaration import NO_PLUGINS, PatchEncoder, Plugins, SlideEncoder
from atlaspatch_core.encoders.extras import installed
from atlaspatch_core.encoders.patch import PATCH_ENCODERS, find_patch_encoder
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS, find_slide_encoder
from atlaspatch_core.encoders.slide.mean import PREFIX as MEAN
from atlaspatch_core.encoders.weights import are_at_hand

Kind = Literal["patch", "slide"]


@dataclass(frozen=True, slots=True)
class Listed:
    """One encoder, as it stands on this machine."""

    name: str
    kind: Kind
    aliases: tuple[str, ...]
    dim: int | None
    """None where it is asked of the network."""
    patch_encoder: str | None
    """Whose features a slide encoder takes."""
    further_patch_encoders: tuple[str, ...]
    """Whose features of the same patches it takes too."""
    patch_size: int | None
    """px; None when any will do."""
    magnification: float | None
    """None when any will do."""
    scales: tuple[float, float] | None
    """Smallest and largest µm/px that it was made for; None when any will do."""
    output: str
    """What is taken of its network; empty where that gives one vector alone."""
    network: str
    """Name of the encoder of whose network this is a further output; empty otherwise."""
    license: str
    gated: bool
    remote_code: bool
    """Whether it cannot do without Python code that lies beside its weights and is run on request only."""
    extra: str | None
    """Optional dependencies that it needs."""
    extra_installed: bool
    weights_found: bool
    """Whether its weights are on this machine."""
    homepage: str
    note: str


def listed(kind: Kind | None = None, plugins: Plugins = NO_PLUGINS) -> list[Listed]:
    """Return all encoders of one kind, or of both, in the order of the tables; of the means only those of plugins."""
    rows: list[Listed] = []
    if kind != "slide":
        rows += [_listed("patch", encoder) for encoder in _patch_encoders(plugins)]
    if kind != "patch":
        rows += [_listed("slide", encoder) for encoder in _slide_encoders(plugins)]
    return rows


def listed_by_name(names: Iterable[str], kind: Kind | None = None, plugins: Plugins = NO_PLUGINS) -> list[Listed]:
    """Return the encoders of these names, aliases or ``NAME:OUTPUT``, each once, of one kind, or of patches or slides.

    Raises UnknownName.
    """
    find = {"patch": find_patch_encoder, "slide": find_slide_encoder, None: find_encoder}[kind]
    encoders = {encoder.name: encoder for encoder in (find(name, {}, plugins) for name in names)}
    return [_listed("patch" if isinstance(one, PatchEncoder) else "slide", one) for one in encoders.values()]


def _patch_encoders(plugins: Plugins) -> Iterator[PatchEncoder]:
    for name in (*PATCH_ENCODERS, *plugins.patch):
        yield find_patch_encoder(name, {}, plugins)


def _slide_encoders(plugins: Plugins) -> Iterator[SlideEncoder]:
    for name in (*(name for name in SLIDE_ENCODERS if not name.startswith(MEAN)), *plugins.slide):
        yield find_slide_encoder(name, {}, plugins)


def _listed(kind: Kind, encoder: PatchEncoder | SlideEncoder) -> Listed:
    sources = [encoder.source]
    if isinstance(encoder, PatchEncoder) and encoder.without_code is not None:
        encoder = encoder.built_here()
        sources.append(encoder.source)
    return Listed(
        name=encoder.name,
        kind=kind,
        aliases=encoder.aliases,
        dim=encoder.dim,
        patch_encoder=encoder.patch_encoder if isinstance(encoder, SlideEncoder) else None,
        further_patch_encoders=encoder.further_patch_encoders if isinstance(encoder, SlideEncoder) else (),
        patch_size=encoder.patch_size,
        magnification=encoder.magnification,
        scales=encoder.scales,
        output=encoder.output if isinstance(encoder, PatchEncoder) else "",
        network=encoder.network if isinstance(encoder, PatchEncoder) else "",
        license=encoder.license,
        gated=encoder.gated,
        remote_code=isinstance(encoder.architecture, RemoteModel),
        extra=encoder.extra,
        extra_installed=installed(encoder.extra),
        weights_found=any(are_at_hand(source, encoder.name) for source in sources),
        homepage=encoder.homepage,
        note=encoder.note,
    )

"""Weights brought to one folder before many machines need them."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import AtlasPatchError, UnknownName
from atlaspatch_core.operations.doctor.weights import Needed


@dataclass(frozen=True, slots=True)
class FetchedWeights:
    """What became of the weights of one network."""

    name: str
    place: Path | None = None
    """Where they lie; None where they are part of a package or could not be had."""
    fault: str = ""
    """Why they could not be had: one sentence."""


def folders_of(folder: Path) -> Mapping[str, str]:
    """Return the variables by which runs find what lies in a folder of weights: those of the hub and of torch."""
    return {"HF_HUB_CACHE": str(folder.absolute() / "hub"), "TORCH_HOME": str(folder.absolute() / "torch")}


@contextmanager
def weights_in(folder: Path | None) -> Iterator[None]:
    """Look for weights in this folder, and fetch them to it; None: where the environment says."""
    values = folders_of(folder) if folder else {}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def named_networks(names: Iterable[str]) -> list[Needed]:
    """Return the networks of encoders of patches or slides, each once; those of slides with that of their patches.

    Raises UnknownName, with names that are near.
    """
    networks: dict[str, Needed] = {}
    for name in names:
        for encoder in _encoders(name):
            needed = Needed(encoder.name, encoder.source, encoder.license, encoder.gated, encoder.extra)
            networks.setdefault(encoder.name, needed)
    return list(networks.values())


def fetch_weights(networks: Iterable[Needed]) -> Iterator[FetchedWeights]:
    """Yield what becomes of the weights of networks, one after the other; what is there already is not fetched again.

    What was cut off goes on where it ended. Networks without weights are left out.
    """
    for network in networks:
        if network.source is None:
            continue
        try:
            yield FetchedWeights(network.name, network.source.find(network.name))
        except AtlasPatchError as error:
            yield FetchedWeights(network.name, fault=str(error))


def _encoders(name: str) -> list[PatchEncoder | SlideEncoder]:
    """Return the declarations that a name means, that of patches first."""
    try:
        return [find_patch_encoder(name)]
    except UnknownName as unknown:
        try:
            encoder = find_slide_encoder(name)
        except UnknownName:
            raise unknown from None
    return [*map(find_patch_encoder, encoder.patch_encoders), encoder]

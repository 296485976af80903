"""The weights of the project's networks: whether they are here, whole and allowed; nothing is downloaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlaspatch_core.encoders.checkpoint import check_hash
from atlaspatch_core.encoders.extras import cure as install
from atlaspatch_core.encoders.extras import installed
from atlaspatch_core.encoders.hub import HubWeights, offline
from atlaspatch_core.encoders.recorded import RECORDED
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok, warn
from atlaspatch_core.validity.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Needed:
    """A network that the project runs."""

    name: str
    source: Any
    """None where there are no weights."""
    license: str
    gated: bool
    extra: str | None


def weights(subject: Subject) -> Iterator[DoctorFinding]:
    """Look for the weights of every network, and hold them against the sha256 that is declared for them."""
    for needed in networks(subject.recipe) if subject.recipe else ():
        if needed.license == RECORDED:
            text = f"{needed.name}: declared by a plugin, which is not executed here; a run looks for its weights"
            yield ok("weights", text)
            continue
        if not installed(needed.extra):
            text = f"{needed.name}: its packages are not installed"
            yield fail("weights", text, f"run: {install(needed.extra or '')}")
        elif needed.source is not None:
            yield _weights_finding(needed)


def networks(recipe: Recipe) -> list[Needed]:
    """Return the networks of a recipe, each once."""
    encoders = [stage.encoder for stage in (*recipe.stages, *recipe.cases) if stage.encoder]
    of_tissue = [network.with_local_weights(recipe.project.weights) for network in recipe.segmentation.networks]
    by_name = {
        one.name: Needed(one.name, one.source, one.license, one.gated, one.extra) for one in (*encoders, *of_tissue)
    }
    return list(by_name.values())


def _weights_finding(needed: Needed) -> DoctorFinding:
    """Say where the weights of a network are."""
    try:
        path = _path(needed)
        if path is not None and path.is_file():
            check_hash(path, needed.source.spec(needed.name).get("sha256"), needed.name)
    except AtlasPatchError as error:
        return fail("weights", str(error), "give these weights, or take another encoder")
    if path is None and callable(getattr(needed.source, "cached", None)):
        return _absent(needed)
    where = "part of its package" if path is None else str(path)
    return ok("weights", f"{needed.name}: {where} (licence {needed.license})")


def _path(needed: Needed) -> Path | None:
    """Return where weights are, without fetching them: a source that can do that says so by its ``cached``."""
    source: Any = needed.source
    return source.cached() if callable(getattr(source, "cached", None)) else source.find(needed.name)


def _absent(needed: Needed) -> DoctorFinding:
    """Say what becomes of weights that have to be fetched."""
    source = needed.source
    page = source.page if isinstance(source, HubWeights) else getattr(source, "url", "its address")
    text = f"{needed.name}: its weights are not on this machine"
    if offline():
        return fail(
            "weights", f"{text}, and this run is offline", f"fetch them from {page} on a machine that is online"
        )
    if needed.gated:
        return warn("weights", f"{text}, and are given on request only", f"ask for access at {page}, then try --hub")
    return warn(
        "weights", f"{text}; the first run downloads them", f"see that {page} can be reached, or copy them here"
    )

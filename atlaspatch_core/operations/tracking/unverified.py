"""Results that were taken over without proof and that a project does not ask for: no run computes them anew."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import is_unverified
from atlaspatch_core.storage.hdf5 import StoredResult
from atlaspatch_core.storage.schema import PLACES
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.stored import read_results

KINDS = {place: kind for kind, place in PLACES.items()}


@dataclass(frozen=True, slots=True)
class UnverifiedResult:
    """One such result of one slide."""

    stem: str
    step: OutputKey
    why: str


def unverified_results(recipe: Recipe, stems: Collection[str]) -> tuple[UnverifiedResult, ...]:
    """Return the results of these slides that were adopted, are unverified, and are no output of the project."""
    results = (result for geometry in recipe.project.geometry for result in _of_geometry(recipe, geometry.name, stems))
    return tuple(sorted(results, key=lambda result: (result.stem, str(result.step))))


def _of_geometry(recipe: Recipe, geometry: str, stems: Collection[str]) -> Iterator[UnverifiedResult]:
    store = Store(recipe.project.output)
    outputs = {stage.dataset for stage in recipe.stages if stage.geometry and stage.step.geometry == geometry}
    for stem, results in read_results(store, geometry).items():
        for name in results.keys() - outputs if stem in stems else ():
            if why := _why_unverified(StoredResult(store.h5(stem, geometry), name, None, ())):
                place, _, encoder = name.partition("/")
                yield UnverifiedResult(stem, OutputKey(KINDS[place], encoder or None, geometry), why)


def _why_unverified(result: StoredResult) -> str:
    """Return from where a result was adopted, and why it is not proven; empty for others."""
    try:
        identity = result.identity
    except AtlasPatchError:  # said of the slide's file elsewhere
        return ""
    if identity is None or not is_unverified(identity):
        return ""
    spec = identity.spec
    return f"adopted from {spec.get('origin', 'elsewhere')}, unverified ({spec.get('reason', 'not proven')})"

"""What of every slide is asked for."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.interop.export.values import ALL_KINDS
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import TISSUE_MASK

COORDS_KIND = "patch_coords"


@dataclass(frozen=True, slots=True)
class Choice:
    """What of every slide is asked for."""

    encoders: frozenset[str] | None = None
    """Patch and slide encoders; None: all."""
    geometries: frozenset[str] | None = None
    """Names of geometries; None: all."""
    include_stale: bool = False
    """Export what is not valid, too."""
    kinds: frozenset[str] = ALL_KINDS
    """Kinds of steps, beside coords, that the layout holds."""

    def takes(self, step: OutputKey) -> bool:
        """Tell whether a step is asked for; masks, and coords of a geometry that is, go without saying."""
        if step.kind != COORDS_KIND and step.kind not in self.kinds:
            return False
        if step == TISSUE_MASK:
            return True
        of_geometry = self.geometries is None or step.geometry in self.geometries
        return of_geometry and (step.encoder is None or self.encoders is None or step.encoder in self.encoders)


def with_stored_names(choice: Choice, steps: Collection[OutputKey]) -> Choice:
    """Return the choice with encoders called as their results are: aliases, and any case of letters, will do.

    Raises UnknownName for an encoder or a geometry of which there are no such steps.
    """
    geometries = {step.geometry for step in steps if step.kind == COORDS_KIND}
    if unknown := sorted((choice.geometries or frozenset()) - geometries):
        raise _unknown("geometry", unknown, geometries)
    if choice.encoders is None:
        return choice
    encoders = {step.encoder for step in steps if step.encoder}
    names_of = {name: encoder_names(name) & {encoder.lower() for encoder in encoders} for name in choice.encoders}
    if unknown := sorted(name for name, names in names_of.items() if not names):
        raise _unknown("encoder", unknown, encoders)
    selected_names = {name for names in names_of.values() for name in names}
    return replace(choice, encoders=frozenset(encoder for encoder in encoders if encoder.lower() in selected_names))


def encoder_names(name: str) -> set[str]:
    """Return what an encoder is called, in lower case: by the name asked for and by what it is an alias of."""
    names = {name.lower()}
    for find in (find_patch_encoder, find_slide_encoder):
        with suppress(UnknownName):
            names.add(find(name).name.lower())
    return names


def _unknown(kind: str, names: Collection[str], encoders: Collection[str]) -> UnknownName:
    alternatives = ", ".join(sorted(filter(None, encoders))) or "none"
    return UnknownName(f"there is no {kind} {', '.join(names)} among the results; there is {alternatives}")

"""How many patches slides have, or will have: counted, measured, or taken as the mean of others."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from atlaspatch_core.fingerprint import canonical_json, short_hash
from atlaspatch_core.operations.rates import device_of, read_measured
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.stored import read_results
from atlaspatch_core.wording import format_count

USUAL_PATCHES = 10_000
"""Of a slide, where no slide of the project has coords yet and none was measured."""


@dataclass(frozen=True, slots=True)
class PatchCounts:
    """The patches of slides in one geometry."""

    recipe: Recipe
    geometry: str | None
    former: Collection[str]
    """Slides whose coords are of another grid or mask, and are to be laid anew."""

    def of_slides(self, stems: Sequence[str]) -> tuple[int, str]:
        """Return the number of patches of these slides, and how it is known."""
        lasting, replaced = self._stored()
        lasting = dict(sampled_patches(self.recipe).get(self.geometry or "", {})) | lasting
        counts = replaced | lasting
        counted, missing = sum(stem in lasting for stem in stems), sum(stem not in counts for stem in stems)
        mean = sum(counts.values()) / len(counts) if counts else USUAL_PATCHES
        of = f"the mean of {len(counts)}" if counts else "assumed: no slide was measured yet"
        anew = len(stems) - counted - missing
        basis = (
            (counted, f"counted for {_slides(counted)}"),
            (anew, f"{_slides(anew)} as in coords that are to be replaced"),
            (missing, f"{_slides(missing)} as {mean:,.0f} each, {of}"),
        )
        return round(sum(counts.get(stem, mean) for stem in stems)), "; ".join(text for some, text in basis if some)

    def _stored(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return stem to patches of coords that stay, and of those that do not."""
        stored = read_results(Store(self.recipe.project.output), self.geometry or "").items()
        counts = {stem: datasets[COORDS][1] for stem, datasets in stored if COORDS in datasets}
        staying = {stem: count for stem, count in counts.items() if stem not in self.former}
        return staying, {stem: count for stem, count in counts.items() if stem in self.former}


def _slides(count: int) -> str:
    return format_count(count, "slide", ",")


def decided_by(recipe: Recipe) -> str:
    """Return a hash of what decides how many patches slides have. Raises MissingWeights."""
    kinds = ("tissue_mask", "patch_coords")
    return short_hash(canonical_json([stage.spec for stage in recipe.stages if stage.step.kind in kinds]))


def sampled_patches(recipe: Recipe) -> Mapping[str, Mapping[str, int]]:
    """Return geometry to stem to patches, as measured on purpose with these masks and geometries; else nothing."""
    measured = read_measured(recipe.project.output, device_of(recipe))
    return measured.patches if measured and measured.decided_by == decided_by(recipe) else {}

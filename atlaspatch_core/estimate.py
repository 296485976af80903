"""What it takes to make stale or missing outputs: slides, patches, hours and gigabytes, from measured rates."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from atlaspatch_core.hdf5 import COORDS
from atlaspatch_core.outcome import Step
from atlaspatch_core.recipe import Recipe
from atlaspatch_core.store import Store
from atlaspatch_core.validity import Validity, read_results

BYTES_PER_FEATURE = 4
USUAL_DIM = 1536
"""Of a patch encoder whose dim is asked of its network."""
USUAL_PATCHES = 10_000
"""Of a slide, where no slide of the project has coords yet."""
SECONDS_PER_SLIDE: Mapping[str, float] = {"slide": 0.1, "tissue_mask": 1.0, "patch_coords": 0.3, "slide_embedding": 0.1}
"""Assumed for want of own rates: a guess at two CPU cores and a segmenter without a network, and said to be one."""
PATCHES_PER_SECOND = 30.0
"""Assumed for want of own rates: a guess at a small network on two CPU cores, and said to be one."""
ASSUMED = "assumed: nothing was measured here yet"
MEASURED = "measured in earlier runs"


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a step goes."""

    per_second: float
    """Patches, for features; slides, for all other steps."""
    source: str = MEASURED


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the outputs take."""

    slides: int
    outputs: Mapping[Step, int]
    """Slides by step."""
    patches: int
    """To be encoded, counted once per patch encoder."""
    seconds: float
    gigabytes: float
    """Of features, written anew."""
    assumed: tuple[Step, ...] = ()
    """Steps whose rate nobody measured yet."""

    @property
    def text(self) -> str:
        """The estimate in one sentence."""
        if not self.slides:
            return "nothing to do"
        steps = ", ".join(f"{count} × {step}" for step, count in self.outputs.items())
        slides = f"{self.slides:,} slide{'' if self.slides == 1 else 's'}"
        sizes = f"{self.patches:,} patches, about {hours(self.seconds)}, {self.gigabytes:.3g} GB of features"
        rest = f"; no rate was measured yet for {', '.join(map(str, self.assumed))}" if self.assumed else ""
        return f"{slides} ({steps}): {sizes}{rest}"

    @property
    def numbers(self) -> dict[str, int | float]:
        """Return the measures under plain names."""
        hours_ = {"hours": self.seconds / 3600, "gigabytes": self.gigabytes}
        return {"slides": self.slides, "outputs": sum(self.outputs.values()), "patches": self.patches, **hours_}


def hours(seconds: float) -> str:
    """Return a time in the unit in which it is easily grasped."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def estimate(recipe: Recipe, wanted: Iterable[Validity], rates: Mapping[Step, Rate]) -> Estimate:
    """Return what it takes to make these outputs.

    Patches are counted from the coords that lie there; slides without coords count as the mean of the others. Encoders
    that share a pass over the pixels count as if they did not, so the time is an upper bound.
    """
    stems: defaultdict[Step, list[str]] = defaultdict(list)
    for validity in wanted:
        stems[validity.step].append(validity.stem)
    patches = _patches(recipe, stems)
    seconds, size, assumed = 0.0, 0.0, []
    for step, of_step in stems.items():
        rate = rates.get(step) or usual_rate(step)
        assumed += [step] if rate.source == ASSUMED else []
        seconds += (patches[step] if step.kind == "patch_features" else len(of_step)) / rate.per_second
        size += patches[step] * _dim(recipe, step) * BYTES_PER_FEATURE / 1e9
    slides = len({stem for of_step in stems.values() for stem in of_step})
    outputs = {step: len(of_step) for step, of_step in stems.items()}
    return Estimate(slides, outputs, sum(patches.values()), seconds, size, tuple(assumed))


def usual_rate(step: Step) -> Rate:
    """Return what is assumed of a step that was never measured."""
    per_second = PATCHES_PER_SECOND if step.kind == "patch_features" else 1 / SECONDS_PER_SLIDE[step.kind]
    return Rate(per_second, ASSUMED)


def _patches(recipe: Recipe, stems: Mapping[Step, list[str]]) -> Counter[Step]:
    """Return the number of patches of the slides of each features step."""
    store, counts = Store(recipe.project.output), Counter[Step]()
    for step, of_step in stems.items():
        if step.kind != "patch_features":
            continue
        known = {stem: it[COORDS][1] for stem, it in read_results(store, step.geometry).items() if COORDS in it}
        mean = sum(known.values()) / len(known) if known else USUAL_PATCHES
        counts[step] = round(sum(known.get(stem, mean) for stem in of_step))
    return counts


def _dim(recipe: Recipe, step: Step) -> int:
    """Return the dim of an encoder: declared, or that of stored features, or a usual one."""
    stage = recipe.stage(step)
    if stage.encoder is None or stage.encoder.dim:
        return (stage.encoder.dim or 0) if stage.encoder else 0
    stored = read_results(Store(recipe.project.output), step.geometry).values()
    return next((found[stage.dataset][2] for found in stored if stage.dataset in found), USUAL_DIM)

"""What it takes to make stale or missing outputs: slides, cases, patches, hours and gigabytes, from measured rates."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from atlaspatch_core.encoders.devices import present_device
from atlaspatch_core.operations.network_costs import assumed_patches_per_second
from atlaspatch_core.operations.patch_counts import PatchCounts
from atlaspatch_core.operations.rates import MEASURED, Rate, device_of, rates_of_runs, read_measured
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OF_CASES, OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.rules import State
from atlaspatch_core.validity.states import Validity
from atlaspatch_core.validity.stored import read_results
from atlaspatch_core.wording import format_count

__all__ = ["ASSUMED", "MEASURED", "Estimate", "EstimatePart", "Rate", "estimate_work", "hours", "usual_rate"]

NOTHING = "nothing to do"
BYTES_PER_FEATURE = 4
USUAL_DIM = 1536
"""Of a patch encoder whose dim is asked of its network."""
SECONDS_PER_SLIDE: Mapping[str, float] = {
    "slide": 0.1,
    "tissue_mask": 1.0,
    "patch_coords": 0.3,
    "slide_embedding": 0.1,
    OF_CASES: 0.1,
}
"""Or per case. Assumed for want of own rates: a guess at two CPU cores and a segmenter without a network, and said to
be one."""
ASSUMED = "assumed: nothing was measured here yet"


@dataclass(frozen=True, slots=True)
class EstimatePart:
    """What one step takes."""

    step: OutputKey
    slides: int
    """Cases, of embeddings of cases."""
    patches: int
    """To be encoded; 0 but for features."""
    rate: Rate
    seconds: float
    gigabytes: float
    patches_from: str = ""
    """How the patches are known: counted, taken as a mean, or assumed; empty but for features."""

    @property
    def unit(self) -> str:
        """What the rate counts."""
        return {"patch_features": "patches", OF_CASES: "cases"}.get(self.step.kind, "slides")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the outputs take."""

    slides: int
    outputs: Mapping[OutputKey, int]
    """Slides, or cases, by step."""
    patches: int
    """To be encoded, counted once per patch encoder."""
    seconds: float
    gigabytes: float
    """Of features, written anew."""
    assumed: tuple[OutputKey, ...] = ()
    """Steps whose rate nobody measured yet."""
    parts: tuple[EstimatePart, ...] = ()
    """Step by step, in the order in which they were asked for."""
    cases: int = 0

    @property
    def text(self) -> str:
        """The estimate in one sentence."""
        if not self.parts:
            return NOTHING
        steps = ", ".join(f"{count} × {step}" for step, count in self.outputs.items())
        sizes = f"{self.patches:,} patches, about {hours(self.seconds)}, {self.gigabytes:.3g} GB of features"
        unmeasured = f"; no rate was measured yet for {', '.join(map(str, self.assumed))}" if self.assumed else ""
        amounts = ((self.slides, "slide"), (self.cases, "case"))
        subjects = " and ".join(format_count(count, noun, ",") for count, noun in amounts if count)
        return f"{subjects} ({steps}): {sizes}{unmeasured}"

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


def estimate_work(recipe: Recipe, outputs: Iterable[Validity], rates: Mapping[OutputKey, Rate]) -> Estimate:
    """Return what it takes to make these outputs.

    Patches are counted from the coords that lie in the output folder; where these are to be laid anew, that is said.
    Slides without coords count as they were measured, or as the mean of the others. Encoders that share a pass over the
    pixels count as if they did not, so the time is an upper bound.

    Args:
        recipe: What is to be.
        outputs: Those to be made, say the stale and missing ones of ``validities`` or ``project_status``.
        rates: How fast steps go; of other steps, the rates that ``atlaspatch estimate --measure`` left in the output
            folder count, else those of earlier runs there, else assumed ones.

    Returns:
        Slides, cases, patches, seconds and gigabytes, in all and step by step.

    Raises:
        MissingWeights: A local file that a recipe names is not there.

    Example:
        >>> outputs = validities(changed, ["CMU-1-Small-Region"], stored_in_files(changed))
        >>> work = estimate_work(changed, [output for output in outputs if output.state == "stale"], {})
        >>> work.slides, work.patches, sorted(str(step) for step in work.outputs)
        (1, 56, ['patch_features/efficientnet_lite0', 'slide_embedding/mean-efficientnet_lite0'])
    """
    stems: defaultdict[OutputKey, list[str]] = defaultdict(list)
    former: defaultdict[str | None, set[str]] = defaultdict(set)
    for validity in outputs:
        stems[validity.step].append(validity.stem)
        if validity.step.kind == "patch_coords" and validity.state == State.STALE:
            former[validity.step.geometry].add(validity.stem)
    known_rates = {**rates_of_runs(recipe), **measured_rates(recipe), **rates} if stems else {}
    parts = tuple(
        _estimate_part(PatchCounts(recipe, step.geometry, former[step.geometry]), step, of_step, known_rates.get(step))
        for step, of_step in stems.items()
    )
    return Estimate(
        slides=len({stem for step, of_step in stems.items() if step.kind != OF_CASES for stem in of_step}),
        outputs={part.step: part.slides for part in parts},
        patches=sum(part.patches for part in parts),
        seconds=sum(part.seconds for part in parts),
        gigabytes=sum(part.gigabytes for part in parts),
        assumed=tuple(part.step for part in parts if part.rate.source == ASSUMED),
        parts=parts,
        cases=len({stem for step, of_step in stems.items() if step.kind == OF_CASES for stem in of_step}),
    )


def measured_rates(recipe: Recipe) -> dict[OutputKey, Rate]:
    """Return the rates that were measured on purpose, as the output folder remembers them."""
    measured = read_measured(recipe.project.output, device_of(recipe))
    rates = measured.rates if measured else {}
    return {stage.step: rates[str(stage.step)] for stage in recipe.stages if str(stage.step) in rates}


def usual_rate(step: OutputKey, device: str) -> Rate:
    """Return what is assumed of a step that was never measured, on the device that the project names."""
    if step.kind != "patch_features":
        return Rate(1 / SECONDS_PER_SLIDE[step.kind], ASSUMED)
    on_gpu = (present_device() is not None) if device == "auto" else device != "cpu"
    return Rate(assumed_patches_per_second(step.encoder or "", on_gpu), ASSUMED)


def _estimate_part(counts: PatchCounts, step: OutputKey, stems: list[str], known_rate: Rate | None) -> EstimatePart:
    rate = known_rate or usual_rate(step, device_of(counts.recipe))
    if step.kind != "patch_features":
        return EstimatePart(step, len(stems), 0, rate, len(stems) / rate.per_second, 0.0)
    patches, basis = counts.of_slides(stems)
    size = patches * _dim_of(counts.recipe, step) * BYTES_PER_FEATURE / 1e9
    return EstimatePart(step, len(stems), patches, rate, patches / rate.per_second, size, basis)


def _dim_of(recipe: Recipe, step: OutputKey) -> int:
    """Return the dim of an encoder: declared, or that of stored features, or a usual one."""
    stage = recipe.stage(step)
    if stage.encoder is None or stage.encoder.dim:
        return (stage.encoder.dim or 0) if stage.encoder else 0
    stored = read_results(Store(recipe.project.output), step.geometry).values()
    return next((datasets[stage.dataset][2] for datasets in stored if stage.dataset in datasets), USUAL_DIM)

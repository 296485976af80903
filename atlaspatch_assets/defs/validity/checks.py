"""The check ``valid`` of every asset: fails where an output is not what the project asks for, and says what changed."""

import warnings
from collections.abc import Iterator

import dagster as dg

from atlaspatch_assets.lib.partitions import SLIDES
from atlaspatch_assets.lib.recorded import VALID, recorded_validities, validity_verdicts
from atlaspatch_assets.lib.stages import asset_key
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe


def build_valid_checks(recipe: Recipe) -> dg.AssetChecksDefinition:
    """Return the check ``valid`` of every asset; run by itself it tells what is news of all slides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        specs = [_spec(stage.step) for stage in recipe.stages]

        @dg.multi_asset_check(name="validity", specs=specs, can_subset=True)
        def validity(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckEvaluation | dg.Output]:
            keys = context.op_execution_context.selected_asset_check_keys
            steps = [stage.step for stage in recipe.stages if dg.AssetCheckKey(asset_key(stage.step), VALID) in keys]
            yield from validity_verdicts(recorded_validities(recipe, context.instance, steps), context.instance)
            for spec in specs:
                if spec.key in keys:
                    yield dg.Output(None, output_name=spec.get_python_identifier())

    return validity


def _spec(step: OutputKey) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        VALID,
        asset=asset_key(step),
        partitions_def=SLIDES,
        description="Whether the output of the slide is what the project file asks for; if it is stale, what changed. "
        "The job `check_validity` tells it for all slides.",
    )

"""The asset ``coverage``: how much of the project is fresh, stale, missing or failed, and its history."""

import base64
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from atlaspatch_assets.defs.patients.states import case_validities
from atlaspatch_assets.defs.validity.checks import (
    build_valid_checks,
    later_case_checks,
    later_slide_checks,
    processed_checks,
)
from atlaspatch_assets.defs.validity.needs import needs_table, project_needs
from atlaspatch_assets.lib.announced import announced_verdicts
from atlaspatch_assets.lib.declaring import asset_job, running_schedule
from atlaspatch_assets.lib.metadata import LARGEST_PICTURE, Metadata
from atlaspatch_assets.lib.names import PartitionKind, ProjectNames
from atlaspatch_assets.lib.page_links import page_links
from atlaspatch_assets.lib.project_runs import busy_keys, unfinished_runs
from atlaspatch_assets.lib.recorded import MOST_VERDICTS, recorded_validities, validity_verdicts
from atlaspatch_assets.lib.without_patches import retold_embeddings
from atlaspatch_core.storage.slide_index import read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State, Validity
from atlaspatch_core.validity.stored import stored_in_files
from atlaspatch_core.validity.warnings import stored_warnings

COVERAGE = "coverage"
JOB_NAME = "check_validity"
EVERY_HOUR = "7 * * * *"
MOST_ROWS = 50
"""Outputs that are listed one by one."""
MOST_CLEARED = 500
"""Verdicts on one check of an asset that runs announced and left open, and that are given at once."""

DESCRIPTION = """\
Outputs × slides, and embeddings × cases: how many are fresh, stale, missing or failed.

Nothing is opened: what the project file asks for is held against the versions of the latest materialisations. The
numbers are plotted over time; the check `valid` of every asset says for each stale slide what changed. `needs_you`
groups what needs a person by reason, with what mends it; `atlaspatch pages` serves the same, fresh at every load.
"""


def build_validity_definitions(recipe: Recipe) -> dg.Definitions:
    """Return the asset ``coverage``, the check ``valid`` of every asset, and the job that runs both every hour."""
    coverage, names = _build_coverage(recipe), ProjectNames.of(recipe.project)
    job = asset_job(
        names,
        JOB_NAME,
        dg.AssetSelection.assets(coverage),
        "Tells for all slides what is stale and why, and counts. Changes nothing but these events.",
    )
    hourly = "Keeps `coverage` and the checks `valid` up to date."
    schedule = running_schedule(names, "check_validity_hourly", job, EVERY_HOUR, hourly)
    return dg.Definitions(assets=[coverage], asset_checks=build_valid_checks(recipe), jobs=[job], schedules=[schedule])


def _build_coverage(recipe: Recipe) -> dg.AssetsDefinition:
    owners, names = list(recipe.project.owners), ProjectNames.of(recipe.project)

    @dg.asset(
        key=names.asset_key(COVERAGE), group_name="overview", kinds={"table"}, owners=owners, description=DESCRIPTION
    )
    def coverage(context: dg.AssetExecutionContext) -> Iterator[Any]:
        slides = recorded_validities(recipe, context.instance)
        cases = case_validities(recipe, context.instance, slides)
        yield from validity_verdicts(names, [*slides, *cases], context.instance)
        yield from retold_embeddings(recipe, context.instance, slides, MOST_VERDICTS)
        unfinished = unfinished_runs(context.instance)
        busy = {kind: busy_keys(kind, context.instance, unfinished) for kind in (names.slides, names.cases)}
        yield from _open_verdicts(recipe, context.instance, busy)
        warnings = recorded_warnings(recipe, slides)
        needs = project_needs(names, context.instance, [*slides, *cases], warnings, set().union(*busy.values()))
        metadata = {"needs_you": needs_table(needs), **page_links("/"), **coverage_metadata(slides, cases)}
        yield dg.MaterializeResult(metadata=metadata)

    return coverage


def _open_verdicts(
    recipe: Recipe, instance: dg.DagsterInstance, busy: Mapping[PartitionKind, Collection[str]]
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield verdicts that runs announced and left open."""
    names = ProjectNames.of(recipe.project)
    of_slides = [*later_slide_checks(recipe), *processed_checks(recipe)]
    for kind, checks in ((names.slides, of_slides), (names.cases, later_case_checks(recipe))):
        yield from announced_verdicts(names, instance, checks, busy=busy[kind], most=MOST_CLEARED)


def recorded_warnings(recipe: Recipe, slides: Sequence[Validity]) -> Mapping[str, tuple[str, ...]]:
    """Return stem to what is odd about a slide, as the output folder tells."""
    index = read_slide_index(Store(recipe.project.output), recipe.project.slides.masks_origin)
    stored = stored_in_files(recipe, index)
    return stored_warnings(index, {output.stem for output in slides}, recipe.project.quality, stored)


def coverage_metadata(of_slides: Sequence[Validity], of_cases: Sequence[Validity] = ()) -> Metadata:
    """Return counts as numbers, which Dagster plots, as a table and as a picture; and the outputs that need a look."""
    from atlaspatch_core.validity.coverage import count_states, draw_coverage

    validities = [*of_slides, *of_cases]
    counts = count_states(validities)
    unusable = [validity for validity in validities if validity.state in (State.FAILED, State.STALE)]
    listed = sorted(unusable, key=lambda validity: (validity.state is not State.FAILED, validity.stem))[:MOST_ROWS]
    numbers = Counter({state: sum(of_step[state] for of_step in counts.values()) for state in State})
    slides, cases = (len({validity.stem for validity in of_kind}) for of_kind in (of_slides, of_cases))
    return {
        "outputs": _count_table(counts),
        "to_look_at": dg.MetadataValue.table(_rows(listed), schema=_text_schema("slide", "output", "state", "why")),
        **_picture_metadata(draw_coverage(validities)),
        "slides": dg.MetadataValue.int(slides),
        **({"cases": dg.MetadataValue.int(cases)} if cases else {}),
        **{state.value: dg.MetadataValue.int(numbers[state]) for state in State},
        "fresh_share": dg.MetadataValue.float(round(numbers[State.FRESH] / max(1, len(validities)), 4)),
        **{
            f"{state}_{_metadata_name(step)}": dg.MetadataValue.int(of_step[state])
            for step, of_step in counts.items()
            for state in State
        },
    }


def _count_table(counts: Mapping[OutputKey, Counter[State]]) -> dg.MetadataValue:
    records = [
        dg.TableRecord({"output": str(step), **{state.value: of_step[state] for state in State}})
        for step, of_step in counts.items()
    ]
    columns = [dg.TableColumn(state.value, "int") for state in State]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn("output"), *columns]))


def _rows(listed: Sequence[Validity]) -> list[dg.TableRecord]:
    return [
        dg.TableRecord(
            {"slide": validity.stem, "output": str(validity.step), "state": validity.state.value, "why": validity.why}
        )
        for validity in listed
    ]


def _text_schema(*names: str) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name) for name in names])


def _picture_metadata(png: bytes) -> Metadata:
    """Return the picture behind a link; nothing when it is too big to be kept with every event."""
    if len(png) > LARGEST_PICTURE:
        return {}
    coded = base64.b64encode(png).decode()
    return {"picture": dg.MetadataValue.md(f"![outputs × slides](data:image/png;base64,{coded})")}


def _metadata_name(step: OutputKey) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", str(step))

"""Quality as a check of the tissue mask: verdicts with value and bound of each finding."""

import dagster as dg
import pytest
from painting import paint_slide, white
from small_projects import failed_slides, paint, project, run, said

from atlaspatch_assets.cli.local_run import OutcomeRow, materialize
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.reporting import report_outcomes
from atlaspatch_assets.lib.verdicts import OpenFailures
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.outcome import Status
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick

KEY = dg.AssetCheckKey(dg.AssetKey("tissue_mask"), "tissue_quality")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def of(tmp_path):
    """A usual slide, and one that is all glass."""
    paint(tmp_path / "slides", "usual")
    paint_slide(tmp_path / "slides" / "empty.svs", white(1024, 1024))
    return project(tmp_path)


def verdicts(instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    """Return slide to its last verdict."""
    records = instance.event_log_storage.get_asset_check_execution_history(KEY, limit=100)
    found = [record.event.dagster_event.asset_check_evaluation_data for record in reversed(records) if record.event]
    return {it.partition: it for it in found}


def values(evaluation) -> dict:
    return {name: entry.value for name, entry in evaluation.metadata.items()}


def test_an_odd_slide_warns_with_its_picture_and_a_usual_one_costs_no_event(of, instance):
    """An odd slide warns with its reason and picture and a usual one costs no event."""
    paint(of.output.parent / "slides", "plain")
    assert run(of, instance, ["usual", "empty", "plain"]).success

    records = instance.event_log_storage.get_asset_check_execution_history(KEY, limit=100)
    found = verdicts(instance)
    usual, empty = values(found["usual"]), values(found["empty"])
    assert len([record for record in records if record.event]) == 2  # the first slide of a run always has a verdict
    assert (found["usual"].passed, found["empty"].passed) == (True, False)
    assert found["empty"].severity == dg.AssetCheckSeverity.WARN
    assert empty["reason"] == "no tissue was found"
    assert (empty["no_tissue"], empty["no_tissue_bound"]) == (0, 1)
    assert empty["picture"].startswith("![")
    assert (usual["many_fragments"], usual["many_fragments_bound"]) == (1, 200)
    assert usual["much_tissue"] == pytest.approx(0.25, abs=0.02)
    assert "reason" not in usual
    assert "picture" not in usual
    assert said(instance, "tissue_mask", "empty")["warnings"] == "no tissue was found"


def test_what_the_project_blocks_fails_the_slide_alone(of, instance):
    blocking = of.model_copy(update={"quality": project(of.output, quality={"block": ["no_tissue"]}).quality})

    failed = failed_slides(run(blocking, instance, ["usual", "empty"]))

    assert list(failed) == ["empty"]
    assert "no tissue was found" in failed["empty"]
    assert verdicts(instance)["empty"].severity == dg.AssetCheckSeverity.ERROR
    assert instance.get_materialized_partitions(dg.AssetKey("patch_coords")) == {"usual"}


def test_only_the_tissue_mask_has_this_check(of):
    checks = build_definitions(of).resolve_asset_graph().asset_check_keys

    assert [key for key in checks if key.name == "tissue_quality"] == [KEY]


def test_a_run_without_dagster_tells_the_same(of, instance):
    from atlaspatch_core.discovery.find import find_slides

    report_outcomes(process(find_slides(of).sources, make_recipe(of)), OpenFailures(ProjectNames.of(of), instance))

    assert {stem: it.passed for stem, it in verdicts(instance).items()} == {"empty": False}


def test_the_command_line_shows_a_warning_beside_the_mask_and_no_failure(of, instance):
    rows: list[OutcomeRow] = []

    crashes = list(materialize(of, ["usual", "empty"], instance, force=False, show=rows.append))

    assert crashes == []
    assert Status.FAILED not in {row.status for row in rows}
    assert [(row.stem, row.warnings) for row in rows if row.warnings] == [("empty", "no tissue was found")]

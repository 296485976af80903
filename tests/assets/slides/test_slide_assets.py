"""The asset graph, run for real on painted slides."""

import dagster as dg
import pytest
from native_staleness import CachingStaleStatusResolver, LoadingContextForTest, StaleStatus
from small_projects import break_slide, failed_slides, last, paint, project, run, said

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.metadata import LARGEST_PICTURE

TO_COORDS = ("slide", "tissue_mask", "patch_coords")
ALL = (*TO_COORDS, "patch_features/efficientnet_lite0", "slide_embedding/mean-efficientnet_lite0")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def key(asset: str) -> dg.AssetKey:
    return dg.AssetKey(asset.split("/"))


def version(instance: dg.DagsterInstance, asset: str, stem: str) -> str:
    return last(instance, asset, stem).event_log_entry.tags["dagster/data_version"]


def checks(instance: dg.DagsterInstance, asset: str) -> dict[str, tuple[bool, dict]]:
    """Return slide to its last verdict and what was said of it."""
    asked = dg.AssetCheckKey(key(asset), "processed")
    records = instance.event_log_storage.get_asset_check_execution_history(asked, limit=100)
    verdicts = [record.event.dagster_event.asset_check_evaluation_data for record in reversed(records) if record.event]
    return {it.partition: (it.passed, {name: value.value for name, value in it.metadata.items()}) for it in verdicts}


@pytest.mark.quick
def test_a_broken_slide_is_named_and_the_others_of_its_batch_reach_their_embeddings(tmp_path, instance):
    paint(tmp_path / "slides", "first", "second")
    break_slide(tmp_path / "slides", "broken")

    result = run(project(tmp_path, encoders=True), instance, ["first", "broken", "second"])

    assert not result.success
    assert list(failed_slides(result)) == ["broken"]
    for asset in ALL:
        assert instance.get_materialized_partitions(key(asset)) == {"first", "second"}
        versions = {
            last(instance, asset, stem).event_log_entry.tags["dagster/data_version"] for stem in ("first", "second")
        }
        assert len(versions) == 2
    verdicts = checks(instance, "slide")
    assert {stem: passed for stem, (passed, _) in verdicts.items()} == {"first": True, "broken": False}
    assert verdicts["broken"][1]["reason"] == failed_slides(result)["broken"]
    assert said(instance, ALL[3], "first")["patches"] == 4
    assert said(instance, ALL[4], "first")["dim"] == 1280


def told(result: dg.ExecuteInProcessResult) -> list[tuple[str, bool]]:
    """Return slide and verdict of the checks `processed` of a run, each once."""
    found = [it for it in result.get_asset_check_evaluations() if it.check_name == "processed"]
    return sorted({(str(it.partition), it.passed) for it in found})


def test_a_pass_is_told_once_after_a_failure_and_never_of_slides_that_did_not_fail(tmp_path, instance):
    paint(tmp_path / "slides", "anchor", "good")
    break_slide(tmp_path / "slides", "bad")
    of, stems = project(tmp_path), ["anchor", "good", "bad"]
    assert told(run(of, instance, stems)) == [("anchor", True), ("bad", False)]

    paint(tmp_path / "slides", "bad")
    assert told(run(of, instance, stems)) == [("anchor", True), ("bad", True)]

    assert told(run(of, instance, stems)) == [("anchor", True)]
    asked = dg.AssetCheckKey(key("slide"), "processed")
    infos = instance.event_log_storage.get_asset_check_partition_info([asked])
    assert {str(it.partition_key): it.latest_execution_status.value for it in infos} == {
        "anchor": "SUCCEEDED",
        "bad": "SUCCEEDED",
    }


def test_every_slide_that_dagster_announced_a_verdict_for_gets_one(tmp_path, instance):
    paint(tmp_path / "slides", "first", "second")
    instance.add_dynamic_partitions("slides", ["first", "second"])
    job = build_definitions(project(tmp_path)).resolve_job_def("process_slides")
    tags = {"dagster/asset_partition_range_start": "first", "dagster/asset_partition_range_end": "second"}

    assert told(job.execute_in_process(instance=instance, tags=tags)) == [("first", True), ("second", True)]


def test_a_reused_output_has_the_numbers_of_a_computed_one(tmp_path, instance):
    """A reused output has the numbers of a computed one so that plots have no holes."""
    paint(tmp_path / "slides", "a")
    of = project(tmp_path, encoders=True)
    found = []
    for _ in range(2):
        assert run(of, instance, ["a"]).success
        told = {asset: said(instance, asset, "a") for asset in ALL}
        found.append({(asset, name): it for asset in ALL for name, it in told[asset].items() if is_plotted(name, it)})

    assert found[0] == found[1]
    assert (ALL[4], "norm") in found[1]


def is_plotted(name: str, value: object) -> bool:
    """Tell whether a value of an event is a number of the output, and not of the work it took."""
    return isinstance(value, int | float) and "second" not in name


def test_a_second_run_reuses_everything_and_says_so(tmp_path, instance):
    paint(tmp_path / "slides", "first", "second")
    of = project(tmp_path)
    run(of, instance, ["first", "second"])
    versions = [version(instance, asset, "first") for asset in TO_COORDS]

    assert run(of, instance, ["first", "second"]).success

    assert [said(instance, asset, "first")["status"] for asset in TO_COORDS] == ["reused"] * 3
    again = [version(instance, asset, "first") for asset in TO_COORDS]
    assert again == versions


def test_force_computes_only_the_selected_assets_anew(tmp_path, instance):
    paint(tmp_path / "slides", "first")
    of = project(tmp_path)
    run(of, instance, ["first"])

    assert run(of, instance, ["first"], force=True, assets=[key("patch_coords")]).success

    assert [said(instance, asset, "first")["status"] for asset in TO_COORDS] == ["computed"] * 3
    counts = [len(instance.fetch_materializations(key(asset), limit=9).records) for asset in TO_COORDS]
    assert counts == [1, 1, 2]


def test_a_downstream_asset_alone_takes_its_inputs_from_the_files(tmp_path, instance):
    paint(tmp_path / "slides", "first")
    run(project(tmp_path), instance, ["first"], assets=[key("slide"), key("tissue_mask")])

    assert run(project(tmp_path), instance, ["first"], assets=[key("patch_coords")]).success

    assert said(instance, "patch_coords", "first")["status"] == "computed"


def test_a_downstream_asset_alone_fails_where_its_inputs_were_never_made(tmp_path, instance):
    paint(tmp_path / "slides", "first")

    result = run(project(tmp_path), instance, ["first"], assets=[key("patch_coords")])

    assert list(failed_slides(result)) == ["first"]
    assert checks(instance, "patch_coords")["first"][0] is False


def test_a_range_of_partitions_is_a_batch_too(tmp_path, instance):
    stems = ["a", "b", "c", "d"]
    paint(tmp_path / "slides", *stems)
    defs = build_definitions(project(tmp_path))
    instance.add_dynamic_partitions("slides", stems)
    tags = {"dagster/asset_partition_range_start": "b", "dagster/asset_partition_range_end": "c"}

    assert defs.resolve_job_def("process_slides").execute_in_process(instance=instance, tags=tags).success

    assert instance.get_materialized_partitions(key("patch_coords")) == {"b", "c"}


def test_slides_whose_folder_is_away_are_sought_again_and_do_not_fail(tmp_path, instance):
    paint(tmp_path / "slides", "first")
    of = project(tmp_path)
    assert run(of, instance, ["first"]).success
    away = (tmp_path / "slides").rename(tmp_path / "away")

    result = run(of, instance, ["first"], retries=1)
    (failure,) = (event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure)
    assert failure is not None
    assert "1 slide of this run cannot be seen, and none has failed" in str(failure.description)
    assert all(verdict.passed for verdict in result.get_asset_check_evaluations())
    assert away.rename(tmp_path / "slides").is_dir()
    assert run(of, instance, ["first"]).success


def test_two_files_of_one_stem_fail_with_both_their_names(tmp_path, instance):
    paint(tmp_path / "slides", "twin", "other")
    (tmp_path / "slides" / "twin.tif").write_bytes(b"")

    failed = failed_slides(run(project(tmp_path), instance, ["twin", "other"]))

    assert list(failed) == ["twin"]
    assert "twin.svs" in failed["twin"]
    assert "twin.tif" in failed["twin"]


def test_the_events_of_mask_and_coords_carry_a_small_picture(tmp_path, instance):
    paint(tmp_path / "slides", "first")

    run(project(tmp_path), instance, ["first"])

    for asset in ("tissue_mask", "patch_coords"):
        picture = said(instance, asset, "first")["picture"]
        assert picture.startswith("![")
        head, coded = picture.removesuffix(")").split("base64,")
        assert head.endswith("(data:image/jpeg;")
        assert 0 < len(coded) * 3 / 4 <= LARGEST_PICTURE


def test_dagster_finds_a_slide_fresh_after_its_run_and_stale_after_a_new_setting(tmp_path, instance):
    paint(tmp_path / "slides", "first")
    run(project(tmp_path), instance, ["first"])
    run(project(tmp_path), instance, ["first"], force=True)
    geometry = {"patch_size": 256, "target_mag": 20, "step_size": 128}

    before, after = project(tmp_path), project(tmp_path, geometry=[geometry])

    assert staleness(before, instance) == [StaleStatus.FRESH] * 3
    assert staleness(after, instance) == [StaleStatus.FRESH, StaleStatus.FRESH, StaleStatus.STALE]


def test_dagster_finds_the_coords_stale_after_the_mask_changed(tmp_path, instance):
    paint(tmp_path / "slides", "first")
    run(project(tmp_path), instance, ["first"])
    changed = project(tmp_path, tissue={"closing_um": 64.0, "simplify_um": 40.0})
    (tmp_path / "slides" / "first.svs").unlink()
    paint(tmp_path / "slides", "other", "first")

    run(changed, instance, ["first"], assets=[key("slide"), key("tissue_mask")])

    assert staleness(changed, instance) == [StaleStatus.FRESH, StaleStatus.FRESH, StaleStatus.STALE]


def staleness(of, instance: dg.DagsterInstance) -> list[StaleStatus]:
    graph = build_definitions(of).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return [resolver.get_status(key(asset), "first") for asset in TO_COORDS]

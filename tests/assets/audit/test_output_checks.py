"""The audit of what lies in the files, and the retirement of slides that are gone."""

import os
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from painting import paint_slide, stain, white
from resealing import rewriting
from small_projects import paint, project, run, said

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.audit.jobs import OP_NAME, AuditConfig, choose_sample
from atlaspatch_assets.defs.retention.retirement import Retirement, plan_lines

EMBEDDING = "slide_embedding/mean-efficientnet_lite0"


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def audit(of, instance, **config) -> dg.ExecuteInProcessResult:
    job = build_definitions(of).resolve_job_def("audit")
    return job.execute_in_process(instance=instance, run_config={"ops": {OP_NAME: {"config": config}}})


def retire(of, instance, **config) -> dg.ExecuteInProcessResult:
    job = build_definitions(of).resolve_job_def("retire_slides")
    settings = {"ops": {"retire": {"config": config}}}
    return job.execute_in_process(instance=instance, run_config=settings, raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Return the sentence with which a job says why it did not do it."""
    (event,) = (event for event in result.all_events if event.is_step_failure)
    said = event.step_failure_data.user_failure_data
    return str(said.description) if said else ""


def verdicts(result: dg.ExecuteInProcessResult, name: str) -> dict[tuple[str, str], str]:
    """Return asset and slide to the reason of every verdict of this check; empty where it passed."""
    found = [it for it in result.get_asset_check_evaluations() if it.check_name == name]
    reason = {True: lambda _: "", False: lambda it: str(it.metadata["reason"].value)}
    return {(it.asset_key.to_user_string(), str(it.partition)): reason[it.passed](it) for it in found}


@pytest.mark.quick
def test_the_audit_says_which_output_of_which_slide_is_not_sound_and_why(tmp_path, instance):
    (tmp_path / "slides").mkdir()
    for stem, width in (("good", 500), ("bad", 480)):
        paint_slide(tmp_path / "slides" / f"{stem}.svs", stain(white(1024, 1024), 256, 256, width, 512))
    of = project(tmp_path, encoders=True)
    run(of, instance, ["good", "bad"])
    with rewriting(tmp_path / "output" / "patches" / "bad.h5") as file:
        file["features/efficientnet_lite0"][0] = float("nan")  # type: ignore[index]

    result = audit(of, instance, share=1.0)

    found = verdicts(result, "sound")
    assert result.success
    assert len(found) == 8
    assert {key: why for key, why in found.items() if why} == {
        ("patch_features/efficientnet_lite0", "bad"): "1 of 4 rows are not finite"
    }


def test_the_audit_warns_of_one_slide_under_two_names(tmp_path, instance):
    paint(tmp_path / "slides", "first")
    (tmp_path / "slides" / "second.svs").write_bytes((tmp_path / "slides" / "first.svs").read_bytes())
    of = project(tmp_path, encoders=True)
    run(of, instance, ["first", "second"])

    result = audit(of, instance, slides=["first"])

    assert list(verdicts(result, "distinct")) == [(EMBEDDING, "first")]
    assert "second" in verdicts(result, "distinct")[EMBEDDING, "first"]
    (check,) = (it for it in result.get_asset_check_evaluations() if it.check_name == "distinct")
    assert check.severity is dg.AssetCheckSeverity.WARN


def test_a_dry_audit_gives_no_verdict(tmp_path, instance):
    paint(tmp_path / "slides", "first")
    of = project(tmp_path)
    run(of, instance, ["first"])

    assert verdicts(audit(of, instance, dry_run=True), "sound") == {}


def test_the_sample_is_another_one_every_week_and_as_large_as_asked_for():
    stems = [f"s{number:03}" for number in range(200)]
    config = AuditConfig(share=0.1)

    first, same, next_week = (choose_sample(stems, config, date(2026, 11, day)) for day in (16, 22, 23))

    assert len(first) == 20
    assert first == same != next_week
    assert len(choose_sample(stems, AuditConfig(share=1.0, most=7), date(2026, 11, 16))) == 7
    assert choose_sample(stems, AuditConfig(slides=["s001"]), date(2026, 11, 16)) == ["s001"]
    with pytest.raises(dg.Failure, match="unknown: nothing was ever made of a slide of this name"):
        choose_sample(stems, AuditConfig(slides=["s001", "unknown"]), date(2026, 11, 16))


def test_a_batch_makes_none_of_the_checks_of_the_audit(tmp_path, instance):
    paint(tmp_path / "slides", "first")

    result = run(project(tmp_path), instance, ["first"])

    assert {it.check_name for it in result.get_asset_check_evaluations()}.isdisjoint({"sound", "distinct"})
    assert "slides_to_embeddings" in result.job_def.graph.node_dict


def test_retiring_says_what_it_would_do_and_does_nothing_until_told(tmp_path, instance):
    of = gone(tmp_path, instance)

    assert retire(of, instance).success
    assert instance.get_dynamic_partitions("slides") == ["gone", "here"]

    assert retire(of, instance, dry_run=False).success
    assert instance.get_dynamic_partitions("slides") == ["here"]
    assert instance.get_dynamic_partitions("slides_removed") == []
    assert (tmp_path / "output" / "patches" / "gone.h5").is_file()


def test_what_retiring_would_do_is_not_told_as_done():
    plan = [Retirement("gone", ())]

    dry, real = (list(plan_lines(plan, dry_run=dry, delete_outputs=False)) for dry in (True, False))

    assert dry[0] == "gone: partition would be removed; 0 files (0 bytes) would be kept"
    assert real[0] == "gone: partition removed; 0 files (0 bytes) kept"


def test_retiring_deletes_the_outputs_of_that_slide_alone_when_told(tmp_path, instance):
    of = gone(tmp_path, instance)
    for name in ("patch_images/gone/gone_x0_y0.jpg", "wsi_states/gone__0123456789ab.json"):
        (tmp_path / "output" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "output" / name).write_text("{}")

    retire(of, instance, dry_run=False, delete_outputs=True)

    left = [file.name for file in (tmp_path / "output").rglob("*") if file.is_file() and "gone" in file.name]
    assert left == ["gone.lock"]
    assert (tmp_path / "output" / "patches" / "here.h5").is_file()


def test_the_audit_expects_no_embedding_of_a_slide_without_patches(tmp_path, instance):
    """The audit finds nothing wrong with the embedding that a slide without patches has not."""
    (tmp_path / "slides").mkdir()
    paint_slide(tmp_path / "slides" / "glass.svs", white(1024, 1024))
    of = project(tmp_path, encoders=True)
    assert run(of, instance, ["glass"]).success

    found = verdicts(audit(of, instance, share=1.0), "sound")

    assert {key: why for key, why in found.items() if why} == {("patch_coords", "glass"): "there is no patch"}
    told = said(instance, "patch_features/efficientnet_lite0", "glass")
    assert not {"read_by", "patches_per_second"} & told.keys()


def test_a_slide_whose_file_is_there_is_not_retired(tmp_path, instance):
    of = gone(tmp_path, instance)

    present = retire(of, instance, slides=["here"], dry_run=False)
    unknown = retire(of, instance, slides=["nobody"], dry_run=False)

    assert failure(present).startswith("here: the slide's file is in the project's folders, and would come back")
    assert failure(unknown) == "nobody: no partition has this name; the page of `slide` lists them"
    assert instance.get_dynamic_partitions("slides") == ["gone", "here"]


def test_no_slide_is_retired_while_the_folder_is_away(tmp_path, instance):
    of = gone(tmp_path, instance)
    (tmp_path / "slides").rename(tmp_path / "unmounted")

    assert not retire(of, instance, dry_run=False).success
    assert instance.get_dynamic_partitions("slides") == ["gone", "here"]


def test_no_slide_is_retired_while_a_folder_cannot_be_looked_into(tmp_path, instance, monkeypatch):
    of = gone(tmp_path, instance)
    real = os.scandir

    def scandir(path):
        if Path(path) == tmp_path / "slides":
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)

    assert not retire(of, instance, dry_run=False).success
    assert instance.get_dynamic_partitions("slides") == ["gone", "here"]


def test_slides_are_retired_though_the_folder_is_written_as_a_pattern(tmp_path, instance):
    of = gone(tmp_path, instance)
    slides = of.slides.model_copy(update={"folders": (tmp_path / "slides" / "*.svs",)})

    assert retire(of.model_copy(update={"slides": slides}), instance, dry_run=False).success
    assert instance.get_dynamic_partitions("slides") == ["here"]


def gone(folder, instance):
    """Return a project with two finished slides, of which one was removed and marked so."""
    paint(folder / "slides", "gone", "here")
    of = project(folder)
    run(of, instance, ["gone", "here"])
    (folder / "slides" / "gone.svs").unlink()
    instance.add_dynamic_partitions("slides_removed", ["gone"])
    return of

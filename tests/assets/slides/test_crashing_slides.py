"""A slide that crashes its reader in runs of Dagster: the others are materialised, and the run says which it was."""

import signal

import dagster as dg
from click.testing import CliRunner
from crashing import write_plugin
from project_files import project_text
from small_projects import paint, project, run

from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.lib.names import PROCESSED
from atlaspatch_assets.lib.recorded import failure_reasons
from atlaspatch_core.storage.crash_notes import read_crash_notes
from atlaspatch_core.storage.store import Store

SLIDE = dg.AssetKey("slide")


def test_a_batch_has_one_failed_slide_and_the_others_are_materialised(tmp_path, instance):
    paint(tmp_path / "slides", "a", "b", "c")
    of = project(tmp_path, plugins=[write_plugin(tmp_path, {"a": ("open", 0, int(signal.SIGSEGV))})])

    for times in (1, 2):
        run(of, instance, ["a", "b", "c"])

        reasons = failure_reasons(instance, dg.AssetCheckKey(SLIDE, PROCESSED))
        assert list(reasons) == ["a"]
        assert f"killed by signal 11, SIGSEGV, while it was opened ({times} time" in str(reasons["a"])
        assert instance.get_materialized_partitions(SLIDE) == {"b", "c"}
    assert read_crash_notes(Store(of.output))["a"].times == 2


def test_materialize_does_the_others_and_exits_as_for_a_failed_slide(tmp_path, home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_plugin(tmp_path, {"b": ("read", 0, int(signal.SIGABRT))})
    (tmp_path / "atlaspatch.toml").write_text('plugins = ["plugin.py"]\n' + project_text())
    paint(tmp_path / "slides", "a", "b", "c")

    result = CliRunner().invoke(cli, ["materialize"])

    assert result.exit_code == 1, result.output
    [line] = [line for line in result.output.splitlines() if "FAILED" in line and "SIGABRT" in line]
    assert "killed by signal 6, SIGABRT, while its pixels were read" in line
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("tissue_mask")) == {"a", "c"}

"""``atlaspatch materialize`` and the console script, run as processes where their imports matter."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from painting import paint_slide, white
from paths import ROOT
from project_files import project_text
from small_projects import break_slide, paint

from atlaspatch_assets.cli.hooks import make_hooks
from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.lib.home import dagster_home
from atlaspatch_core.operations.tracking.folder import read_states
from atlaspatch_core.storage.store import Store

PROJECT = project_text(runtime="slides_per_run = 2")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "atlaspatch.toml").write_text(PROJECT)
    return tmp_path / "dagster"


def materialize(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["materialize", *arguments])


def materialized(home: Path, asset: str) -> set[str]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return instance.get_materialized_partitions(dg.AssetKey(asset))


def test_every_slide_is_materialised_and_its_files_are_named(home, tmp_path):
    paint(tmp_path / "slides", "a", "b", "c")

    result = materialize()

    assert result.exit_code == 0, result.output
    assert materialized(home, "patch_coords") == {"a", "b", "c"}
    for words in ("output/contours_geojson/a.geojson", "output/patches/c.h5", "patches 4", "computed"):
        assert words in result.output
    assert "3 slides: 9 results computed, 0 reused, 0 failed." in result.output


def test_a_second_run_says_that_everything_was_reused(home, tmp_path):
    paint(tmp_path / "slides", "a")
    materialize()

    result = materialize()

    assert result.exit_code == 0
    assert "1 slide: 0 results computed, 3 reused. Everything was reused" in result.output


def test_moving_output_and_slides_computes_nothing(home, tmp_path):
    paint(tmp_path / "slides", "a", "b")
    materialize()
    before = {path.name: path.read_bytes() for path in (tmp_path / "output" / "patches").iterdir()}

    (tmp_path / "output").rename(tmp_path / "elsewhere")
    (tmp_path / "slides").rename(tmp_path / "archive")
    moved = PROJECT.replace('"output"', '"elsewhere"').replace('"slides"', '"archive"')
    (tmp_path / "atlaspatch.toml").write_text(moved)
    result = materialize()

    assert "2 slides: 0 results computed, 6 reused" in result.output
    assert {path.name: path.read_bytes() for path in (tmp_path / "elsewhere" / "patches").iterdir()} == before
    assert "elsewhere/patches/b.h5" in result.output


def test_a_slide_without_patches_is_done_and_says_that_it_has_no_embedding(home, tmp_path):
    (tmp_path / "slides").mkdir()
    paint_slide(tmp_path / "slides" / "glass.svs", white(512, 512))
    encoders = 'target_mag = 20\nslide_encoders = ["mean-efficientnet_lite0"]'
    (tmp_path / "atlaspatch.toml").write_text(PROJECT.replace("target_mag = 20", encoders))

    result = materialize()

    assert result.exit_code == 0, result.output
    assert "skipped" in result.output
    assert "1 slide: 4 results computed, 0 reused, 0 failed." in result.output
    assert "1 slide: 0 results computed, 4 reused. Everything was reused" in materialize().output


def test_failed_slides_are_named_with_their_reasons_and_the_others_are_done(home, tmp_path):
    paint(tmp_path / "slides", "a", "c", "twin")
    break_slide(tmp_path / "slides", "b")
    (tmp_path / "slides" / "twin.tif").write_bytes(b"")

    result = materialize()

    assert result.exit_code == 1
    assert materialized(home, "patch_coords") == {"a", "c"}
    failures = [line.split(":")[0] for line in result.output.splitlines() if line.startswith("FAILED")]
    assert failures == ["FAILED b", "FAILED twin"]


def test_only_the_named_slides_are_taken(home, tmp_path):
    paint(tmp_path / "slides", "a", "b")

    assert materialize("b").exit_code == 0

    assert materialized(home, "slide") == {"b"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["nobody"], "no slide called nobody"), (["--project", "missing.toml"], "atlaspatch init")],
)
def test_wrong_usage_ends_with_2_and_a_sentence(home, tmp_path, arguments, told):
    paint(tmp_path / "slides", "a")

    result = materialize(*arguments)

    assert result.exit_code == 2
    assert told in result.output


def test_a_home_that_cannot_be_made_is_one_sentence(home, tmp_path, monkeypatch):
    paint(tmp_path / "slides", "a")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "file" / "home"))

    result = materialize()

    assert result.exit_code == 2
    assert "let DAGSTER_HOME name a folder" in result.output


def test_status_knows_the_failures_of_the_default_home(home, tmp_path, monkeypatch):
    """Both commands without ``DAGSTER_HOME``: what one wrote the other reads."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("DAGSTER_HOME")
    paint(tmp_path / "slides", "a")
    break_slide(tmp_path / "slides", "b")

    before = CliRunner().invoke(cli, ["status"], obj=make_hooks())
    assert before.exit_code == 0, before.output
    assert not (tmp_path / "user").exists()
    assert materialize().exit_code == 1
    monkeypatch.delenv("DAGSTER_HOME")
    after = CliRunner().invoke(cli, ["status"], obj=make_hooks())
    of_folder = CliRunner().invoke(cli, ["status", "output"], obj=make_hooks())

    assert after.exit_code == 0, after.output
    assert "1 failed" in after.output
    assert of_folder.exit_code == 2, "no project file, no run of encode-slide"


def test_a_broken_default_home_is_told_of_and_stops_no_status(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME")
    (tmp_path / ".atlaspatch" / "dagster").mkdir(parents=True)
    (tmp_path / ".atlaspatch" / "dagster" / "dagster.yaml").write_text("storage: nonsense\n")
    paint(tmp_path / "slides", "a")

    shown = CliRunner().invoke(cli, ["status"], obj=make_hooks())

    assert shown.exit_code == 0, shown.output
    assert shown.stderr.count("Dagster was not asked") == 1
    assert "1 missing" in shown.stdout


def test_a_new_home_gets_the_settings_and_keeps_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "new"))

    settings = dagster_home() / "dagster.yaml"
    shipped = settings.read_text()
    settings.write_text("telemetry: {enabled: false}\n")
    dagster_home()

    assert shipped == (ROOT / "dagster.yaml").read_text()
    assert settings.read_text() == "telemetry: {enabled: false}\n"


def test_the_shipped_settings_are_those_of_the_repository():
    assert (ROOT / "atlaspatch_assets" / "dagster.yaml").read_bytes() == (ROOT / "dagster.yaml").read_bytes()


def test_dagster_accepts_the_settings(home):
    dagster_home()

    with dg.DagsterInstance.get() as instance:
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled


def loaded_by(code: str, *, folder: Path) -> set[str]:
    """Return the modules that a fresh process has loaded after ``code``."""
    program = f"{code}\nimport sys; print(*sys.modules)"
    environment = os.environ | {"DAGSTER_HOME": ""}
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_neither_dagster_nor_torch():
    code = "from atlaspatch_assets.cli.main import cli\ntry: cli(['--help'])\nexcept SystemExit: pass"

    assert not loaded_by(code, folder=ROOT) & {"dagster", "torch", "timm", "cv2", "numpy"}


def test_definitions_load_without_torch_and_without_opening_a_slide():
    loaded = loaded_by("from atlaspatch_assets.definitions import defs; defs()", folder=ROOT)

    assert "dagster" in loaded
    assert not loaded & {"torch", "timm", "openslide"}


def test_definitions_of_a_project_with_models_of_timm_load_without_torch(tmp_path):
    encoder = 'patch_encoders = ["timm-test_vit"]\nslide_encoders = ["mean-timm-test_vit"]\n'
    (tmp_path / "weights.safetensors").write_bytes(b"whatever")
    (tmp_path / "atlaspatch.toml").write_text(
        PROJECT.replace("[runtime]", f'{encoder}[weights]\n"timm-test_vit" = "weights.safetensors"\n[runtime]')
    )
    code = (
        "import dagster as dg; from atlaspatch_assets.definitions import defs; found = defs();"
        "print(found.resolve_asset_graph().get(dg.AssetKey(['patch_features', 'timm-test_vit'])).code_version)"
    )

    loaded = loaded_by(code, folder=tmp_path)

    assert "dagster" in loaded
    assert not loaded & {"torch", "timm", "openslide"}


@pytest.mark.e2e
def test_dagster_validates_the_project_of_the_repository(tmp_path):
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path)}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stderr + done.stdout


def test_definitions_without_a_project_file_say_how_to_write_one(tmp_path):
    code = "from atlaspatch_assets.definitions import defs; defs()"

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)

    assert done.stderr.splitlines()[-1].endswith("there is no project file; 'atlaspatch init' writes one")


@pytest.mark.e2e
@pytest.mark.parametrize("when", ["loaded", "called"])
def test_a_plugin_that_would_end_the_program_is_wrong_usage(home, tmp_path, when):
    paint(tmp_path / "slides", "a")
    (tmp_path / "plugin.py").write_text(
        f"def ends(*_):\n    raise SystemExit(0)\n{'ends()' if when == 'loaded' else ''}\n"
        "from atlaspatch_core.encoders.declaration import SlideEncoder\n"
        "SLIDE_ENCODERS = [\n"
        '    SlideEncoder(name="ends", patch_encoder="efficientnet_lite0", dim=3, forward=ends, license="MIT")\n]\n'
    )
    (tmp_path / "atlaspatch.toml").write_text(
        'plugins = ["plugin.py"]\noutput = "output"\n[slides]\nfolders = ["slides"]\n[runtime]\ndevice = "cpu"\n'
        '[[geometry]]\npatch_size = 256\ntarget_mag = 20\nslide_encoders = ["ends"]\n'
    )

    result = materialize()

    assert result.exit_code == 2, result.output
    assert f"would end the program (SystemExit: 0), at {tmp_path / 'plugin.py'}, line 2" in result.output
    assert "Traceback" not in result.output


def test_a_part_is_made_without_dagster_and_failures_lie_in_the_folder(home, tmp_path):
    paint(tmp_path / "slides", "a", "b", "c")
    break_slide(tmp_path / "slides", "broken")

    results = [materialize("--shard", f"{number}/2") for number in (1, 2)]

    assert sorted(result.exit_code for result in results) == [0, 1], [result.output for result in results]
    assert sorted(path.stem for path in (tmp_path / "output" / "patches").iterdir()) == ["a", "b", "c"]
    assert {stem for stem, state in read_states(Store(tmp_path / "output")).items() if state.errors} == {"broken"}
    assert not home.exists()


def test_a_part_imports_no_dagster(tmp_path):
    (tmp_path / "atlaspatch.toml").write_text(PROJECT)
    paint(tmp_path / "slides", "a", "b")
    code = (
        "import sys; from click.testing import CliRunner; from atlaspatch_assets.cli.main import cli; "
        "print(CliRunner().invoke(cli, ['materialize', '--shard', '1/2']).output, 'dagster' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "1 slide: 1 computed" in done.stdout, done
    assert done.stdout.split()[-1] == "False"


def test_a_part_of_the_named_slides_is_divided_among_these(home, tmp_path):
    paint(tmp_path / "slides", "a", "b", "c", "d")

    result = materialize("a", "c", "--shard", "2/2")

    assert "Shard 2/2: 1 of 2 slides" in result.output
    assert [path.stem for path in (tmp_path / "output" / "patches").iterdir()] == ["c"]

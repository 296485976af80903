"""A project as a component of a deployment that has other assets, checked and scaffolded by Dagster's own ``dg``."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from project_files import project_text
from small_projects import paint

from atlaspatch_core.config.project import load_project

pytestmark = pytest.mark.e2e
PYPROJECT = """\
[project]
name = "deployment"
version = "0.1.0"
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "deployment"
"""
DEFINITIONS = """\
from pathlib import Path
import dagster as dg

@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
OTHERS = """\
import dagster as dg

@dg.asset
def other(): ...

defs = dg.Definitions(assets=[other], executor=dg.multiprocess_executor)
"""
YAML = "type: atlaspatch_assets.components.WsiProject\nattributes:\n  project_file: {file}\n"


@pytest.fixture
def deployment(tmp_path) -> Path:
    """Return the root of a deployment with an asset and an executor of its own."""
    defs = tmp_path / "src" / "deployment" / "defs"
    (defs / "others").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    for package in (defs.parent, defs):
        (package / "__init__.py").touch()
    (defs.parent / "definitions.py").write_text(DEFINITIONS)
    (defs / "others" / "definitions.py").write_text(OTHERS)
    return tmp_path


def dg_command(deployment: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Dagster's ``dg`` in a deployment."""
    program = Path(sys.executable).with_name("dg")
    return subprocess.run([program, *words], cwd=deployment, capture_output=True, text=True, check=False)


def add(deployment: Path, folder: str, name: str = "") -> Path:
    """Add a project with a slide in a folder of the deployment; return the folder."""
    path = deployment / "src" / "deployment" / "defs" / folder
    path.mkdir()
    (path / "defs.yaml").write_text(YAML.format(file="atlaspatch.toml"))
    (path / "atlaspatch.toml").write_text(project_text(name=name))
    paint(path / "slides", "first")
    return path


def test_two_projects_live_beside_the_assets_of_a_deployment(deployment, monkeypatch):
    kidney = add(deployment, "kidney", "kidney")
    add(deployment, "lung", "lung")
    monkeypatch.syspath_prepend(str(deployment / "src"))
    sys.modules.pop("deployment", None)
    definitions = dg.load_from_defs_folder(path_within_project=deployment / "src" / "deployment")
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}

    assert {"other", "kidney/patch_coords", "lung/patch_coords"} <= keys
    job = definitions.resolve_job_def("kidney__process_slides")
    config = {"ops": {"kidney__slides_to_embeddings": {"config": {"slides": ["first"]}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("kidney/slides", ["first"])
        result = job.execute_in_process(config, instance=instance, partition_key="first")
    assert result.success
    assert (kidney / "output" / "patches" / "first.h5").is_file()


def test_dg_scaffolds_a_project_and_checks_it(deployment):
    made = dg_command(deployment, "scaffold", "defs", "atlaspatch_assets.components.WsiProject", "kidney")
    assert made.returncode == 0, made.stdout + made.stderr
    folder = deployment / "src" / "deployment" / "defs" / "kidney"
    assert load_project(folder / "atlaspatch.toml").slides.folders == (folder / "slides",)
    for what in ("yaml", "defs"):
        checked = dg_command(deployment, "check", what)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    (folder / "defs.yaml").write_text(YAML.format(file="nowhere.toml"))
    checked = dg_command(deployment, "check", "defs")
    assert checked.returncode != 0
    assert "nowhere.toml: there is no project file" in checked.stdout + checked.stderr

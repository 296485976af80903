"""``atlaspatch init``: the project file says every setting and its default."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from atlaspatch_core.cli.init import FILE_NAME
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import FILE_NAME as PROJECT_FILE_NAME
from atlaspatch_core.config.project import Project, load_project
from atlaspatch_core.config.sections import Geometry, Patients, Pictures, Runtime, Slides, Upgrades
from atlaspatch_core.config.template import project_text
from atlaspatch_core.patches.filters import FilterSpec
from atlaspatch_core.tissue.quality import FINDINGS, QualitySpec
from atlaspatch_core.tissue.segmenters.declaration import TissueSpec

SECTIONS: list[tuple[str, type[BaseModel]]] = [
    ("slides", Slides),
    ("geometry", Geometry),
    ("patients", Patients),
    ("upgrades", Upgrades),
    ("pictures", Pictures),
    ("runtime", Runtime),
]
PROJECT = project_text()
EXAMPLES = {"output", "folders", "patch_size", "target_mag", "slide_encoders"}


def init(*arguments: str):
    return CliRunner().invoke(cli, ["init", *arguments])


def test_the_file_name_is_the_one_that_projects_have():
    assert FILE_NAME == PROJECT_FILE_NAME


def test_the_written_file_is_a_project(tmp_path: Path):
    result = init(str(tmp_path / "new"), "--slides", str(tmp_path))
    project = load_project(tmp_path / "new" / "atlaspatch.toml")
    assert result.exit_code == 0
    assert project.slides.folders == (tmp_path.resolve(),)
    assert project.output == tmp_path / "new" / "output"
    assert project.geometry[0].slide_encoders == ("mean-efficientnet_lite0",)


def test_without_a_folder_it_is_written_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert init().exit_code == 0
    assert load_project(tmp_path / "atlaspatch.toml").slides.folders == (tmp_path / "slides",)


@pytest.mark.parametrize(("name", "section"), SECTIONS)
def test_every_key_of_a_section_stands_in_the_file_with_its_default(name: str, section: type[BaseModel]):
    values = tomllib.loads(PROJECT)[name]
    values = values[0] if name == "geometry" else values
    known = section.model_fields
    shown = known.keys() - {"filters"}
    commented = {key for key in shown - values.keys() if f"# {key} = " in PROJECT}
    assert values.keys() | commented == shown
    defaults = {key: known[key].get_default(call_default_factory=True) for key in values.keys() - EXAMPLES}
    assert {key: tuple(v) if isinstance(v, list) else v for key, v in values.items() if key not in EXAMPLES} == defaults


def test_every_section_and_top_level_key_stands_in_the_file():
    text = PROJECT.replace("# allow_licenses = ", "allow_licenses = ").replace("# name = ", "name = ")
    assert tomllib.loads(text).keys() == Project.model_fields.keys()


def test_every_key_of_the_tissue_stands_in_the_file_with_its_default(tmp_path: Path):
    init(str(tmp_path))
    assert tomllib.loads(PROJECT)["tissue"].keys() == set(TissueSpec.__dataclass_fields__)
    assert load_project(tmp_path / "atlaspatch.toml").tissue == TissueSpec()


def test_every_bound_and_finding_of_quality_stands_in_the_file(tmp_path: Path):
    """Every bound of quality stands in the file with its default and every finding too."""
    init(str(tmp_path))
    assert tomllib.loads(PROJECT)["quality"].keys() == set(QualitySpec.__dataclass_fields__)
    assert load_project(tmp_path / "atlaspatch.toml").quality == QualitySpec()
    assert all(name in PROJECT for name in FINDINGS)


def test_the_filters_that_are_commented_out_show_their_defaults():
    assert f"# white_thresh = {FilterSpec().white_thresh}\n" in PROJECT
    assert f"# black_thresh = {FilterSpec().black_thresh}\n" in PROJECT
    assert all(f"\n# {name} = " in PROJECT for name in FilterSpec.__dataclass_fields__)


def test_every_setting_has_a_comment_above_it():
    lines = PROJECT.splitlines()
    settings = [number for number, line in enumerate(lines) if " = " in line and not line.startswith("# A")]
    assert [lines[number] for number in settings if not lines[number - 1].startswith("# ")] == []


def test_a_project_that_is_there_is_kept_without_force(tmp_path: Path):
    path = tmp_path / "atlaspatch.toml"
    path.write_text("output = 'mine'")
    result = init(str(tmp_path))
    assert (result.exit_code, path.read_text()) == (1, "output = 'mine'")
    assert result.stderr.startswith(f"Error: {path} is there already")
    assert init(str(tmp_path), "--force").exit_code == 0
    assert load_project(path).output == tmp_path / "output"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    result = init(str(tmp_path / "file" / "below"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_of_slides_may_have_any_name(tmp_path: Path):
    folder = tmp_path / 'a "quoted" földer'
    folder.mkdir()
    init(str(tmp_path), "--slides", str(folder))
    assert load_project(tmp_path / "atlaspatch.toml").slides.folders == (folder.resolve(),)


def test_it_says_whether_there_are_slides_and_which_device_is_there(tmp_path: Path):
    from atlaspatch_core.encoders.devices import present_device

    said = init(str(tmp_path)).output
    assert f"WARNING: {tmp_path / 'slides'}: no such file or folder" in said
    (tmp_path / "slides").mkdir()
    for name in ("a.svs", "b.svs", "c.png"):
        (tmp_path / "slides" / name).touch()
    assert "2 slides found; 1 picture beside slides is left out" in init(str(tmp_path), "--force").output
    assert load_project(tmp_path / "atlaspatch.toml").runtime.device == (present_device() or "cpu")


def test_what_opens_the_project_lies_beside_it_and_is_kept(tmp_path: Path):
    from atlaspatch_assets.cli.hooks import make_hooks

    result = CliRunner().invoke(cli, ["init", str(tmp_path)], obj=make_hooks())
    assert "location_name: atlaspatch" in (tmp_path / "workspace.yaml").read_text()
    assert f"'atlaspatch ui {tmp_path / 'atlaspatch.toml'}' opens the web UI" in result.output.splitlines()[-1]
    (tmp_path / "workspace.yaml").write_text("mine")
    CliRunner().invoke(cli, ["init", str(tmp_path), "--force"], obj=make_hooks())
    assert (tmp_path / "workspace.yaml").read_text() == "mine"

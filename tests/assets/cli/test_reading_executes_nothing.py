"""Looking at results is no consent to the code that they name: no command that only reads executes it."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples
from tracked_folders import PLUGIN, encode, paint

import atlaspatch_core as ap
from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.lib.home import VARIABLE as HOME
from atlaspatch_core.encoders.plugins import load_plugin
from atlaspatch_core.errors import InvalidProject

PLANTED = "import pathlib\npathlib.Path({marker!r}).touch()\n{rest}"
RESTS = ("", PLUGIN, "raise SystemExit(0)", "this is no python")
TOML = """
output = "."
plugins = [{plugins}]
[slides]
folders = ["slides"]
[[geometry]]
patch_size = 256
target_mag = 20
precision = "float32"
patch_encoders = {patch_encoders}
slide_encoders = {slide_encoders}
"""
READING: dict[str, tuple[str, ...]] = {
    "status": ("{folder}",),
    "status --json": ("{folder}",),
    "status --html page.html": ("{folder}",),
    "status --project": ("{toml}",),
    "report --to page.html --project": ("{toml}",),
    "audit": ("{folder}",),
    "audit --project": ("{toml}", "{folder}"),
    "export --to exported --layout clam": ("--output", "{folder}"),
    "export --to exported --layout trident": ("--project", "{toml}"),
    "doctor --project": ("{toml}",),
    "doctor --slides": ("{folder}/slides",),
    "estimate --project": ("{toml}",),
    "overlay --to overlays --column tissue_fraction --scores": ("{folder}/patches", "{folder}"),
    "inspect": ("{folder}/slides/a.svs",),
    "pages --host not.here.invalid --project": ("{toml}",),
    "end-dead-runs --dry-run --project": ("{toml}",),
    "encoders": (),
    "slurm --project": ("{toml}",),
    "adopt --dry-run --output": ("{folder}", "{folder}"),
    "convert --to converted": ("{folder}/slides/a.svs",),
    "upload": ("{folder}", "https://not.here.invalid/a"),
    "download": ("no-url", "{folder}"),
}
"""What a person types to see what there is."""
COMPUTING = {
    "encode-slide",
    "encode-patient",
    "run",
    "materialize",
    "backfill",
    "carry-over",
    "record",
    "weights",
    "ui",
    "up",
    "init",
}
"""The others: what they may execute is what somebody named to them."""


@dataclass(frozen=True)
class HostileFolder:
    """Results of somebody else, who would like to run code here."""

    folder: Path

    @property
    def marker(self) -> Path:
        return self.folder.parent / "executed"

    def plant(self, rest: str, *, modules: bool) -> None:
        """Let the plugins that its records name be hostile ones, and modules that Python imports lie beside."""
        text = PLANTED.format(marker=str(self.marker), rest=rest)
        for name in ("plugin.py", "evil.py"):
            (self.folder / name).write_text(text)
        for name in ("json", "numpy", "h5py", "tifffile", "codecs") if modules else ():
            (self.folder / f"{name}.py").write_text(text)

    def write_project(self, plugins: list[str], patch_encoders: list[str], slide_encoders: list[str]) -> None:
        encoders = {"patch_encoders": json.dumps(patch_encoders), "slide_encoders": json.dumps(slide_encoders)}
        (self.folder / "atlaspatch.toml").write_text(TOML.format(plugins=json.dumps(plugins)[1:-1], **encoders))

    def type(self, command: str, *, inside: bool) -> Result:
        words = [word.format(folder=self.folder, toml=self.folder / "atlaspatch.toml") for word in READING[command]]
        where = self.folder if inside else self.folder.parent / "elsewhere"
        where.mkdir(exist_ok=True)
        with chdir(where):
            return CliRunner().invoke(cli, [*command.split(), *words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    paint(folder / "slides", "a")
    assert encode(folder, "--slide-encoders", "gated").exit_code == 0
    shutil.copytree(folder / "slides", folder / "out" / "slides", dirs_exist_ok=True)
    for run in (folder / "out" / "runs").glob("*.json"):  # its own plugin is the one in the folder
        run.write_text(run.read_text().replace(str(folder / "plugin.py"), str(folder / "hostile" / "plugin.py")))
    (folder / "out").rename(folder / "hostile")
    return folder / "hostile"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get(HOME)
    os.environ[HOME] = str(tmp_path_factory.mktemp("home"))
    yield
    os.environ.pop(HOME)
    if before is not None:
        os.environ[HOME] = before


@pytest.mark.usefixtures("home")
@given(
    command=st.sampled_from(sorted(READING)),
    rest=st.sampled_from(RESTS),
    modules=st.booleans(),
    plugins=st.sampled_from(["plugin.py", "evil.py"]).flatmap(
        lambda name: st.sampled_from([[name], [name, "none.py"]])
    ),
    patch_encoders=st.sampled_from([[], ["tiny"], ["tiny", "evil"]]),
    slide_encoders=st.sampled_from([[], ["gated"], ["mean-tiny", "evil"]]),
    project=st.booleans(),
    inside=st.booleans(),
)
@examples(60)
def test_no_command_that_reads_executes_code_of_a_folder(
    made, command, rest, modules, plugins, patch_encoders, slide_encoders, project, inside
):
    hostile = HostileFolder(made)
    hostile.plant(rest, modules=modules)
    hostile.write_project(plugins, patch_encoders, slide_encoders)
    if not project and "{toml}" not in READING[command]:
        (made / "atlaspatch.toml").unlink()
    result = hostile.type(command, inside=inside)

    assert not hostile.marker.exists(), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    if command == "status --project" or (command == "status" and project):
        assert all(f"/{name}" in result.output for name in (*patch_encoders, *slide_encoders)), result.output
    for path in made.glob("*.py"):
        path.unlink()


@pytest.mark.usefixtures("home")
def test_what_was_read_before_executes_nothing_of_what_is_opened_after(made):
    """In one process, as a notebook is: a hostile project is looked at, and then a slide opened."""
    hostile = HostileFolder(made)
    hostile.plant("", modules=False)
    hostile.write_project(["plugin.py"], ["tiny"], [])
    ap.results(made)
    hostile.type("report --to page.html --project", inside=True)
    with ap.open_slide(made / "slides" / "a.svs") as slide:
        assert slide.thumbnail(64).shape[1] == 64
    assert not hostile.marker.exists()
    for path in (*made.glob("*.py"), made / "atlaspatch.toml"):
        path.unlink()


@pytest.mark.quick
def test_every_command_is_known_to_read_or_to_compute():
    reading = {words.split()[0] for words in READING}
    assert set(cli.commands) - reading - COMPUTING == set()


def _states(folder: Path) -> dict[str, str]:
    result = CliRunner().invoke(cli, ["status", str(folder), "--json"])
    return {row["output"]: row["state"] for row in json.loads(result.stdout) if row["slide"] == "a"}


def test_encoders_of_plugins_are_shown_as_results_record_them(made):
    for path in (*made.glob("*.py"), *made.glob("atlaspatch.toml")):
        path.unlink()
    names = ("slide", "tissue_mask", "patch_coords", "patch_features/tiny", "slide_embedding/gated")
    assert _states(made) == dict.fromkeys(names, "fresh")

    (made / "plugin.py").write_text(PLUGIN)
    assert _states(made) == dict.fromkeys(names, "fresh")
    told = CliRunner().invoke(cli, ["status", str(made)]).stdout
    digest = load_plugin(made / "plugin.py").patch["tiny"].plugin
    assert f"patch_features/tiny    1 fresh (plugin {digest[:16]}, not executed here)" in told

    (made / "plugin.py").write_text(f"{PLUGIN}\n# another")
    assert _states(made) == dict.fromkeys(names[:3], "fresh") | dict.fromkeys(names[3:], "stale")
    assert f"plugin {digest[:10]}" in CliRunner().invoke(cli, ["status", str(made)]).stdout


def test_a_project_file_that_nobody_named_brings_no_plugins_from_results(made, home):
    hostile = HostileFolder(made)
    hostile.plant("", modules=False)
    hostile.write_project(["evil.py"], ["tiny"], [])
    for words in (["materialize"], ["backfill", "--missing"], ["carry-over"], ["up"], ["estimate", "--measure"]):
        with chdir(made):
            result = CliRunner().invoke(cli, words)
        assert (result.exit_code, hostile.marker.exists()) == (2, False), result.output
        assert "lies in a folder of results and names the plugin" in result.output
        assert "--project atlaspatch.toml" in result.output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('allow_remote_code = ["prism"]', "prism in allow_remote_code"),
        ('[alerts]\ncommand = ["sh", "-c", "true"]', "the command sh of [alerts]"),
    ],
)
def test_nor_does_it_bring_other_code(tmp_path, monkeypatch, line, said):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "0.json").write_text("{}")
    (tmp_path / "atlaspatch.toml").write_text(line)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["materialize"])
    assert result.exit_code == 2
    assert said in result.output


def test_a_project_file_that_was_named_brings_its_plugins(made, home):
    hostile = HostileFolder(made)
    hostile.plant("", modules=False)
    hostile.write_project(["evil.py"], ["tiny"], [])
    result = CliRunner().invoke(cli, ["materialize", "--project", str(made / "atlaspatch.toml")])
    assert "evil.py has none of PATCH_ENCODERS" in result.output
    assert hostile.marker.exists()
    hostile.marker.unlink()


@pytest.mark.quick
def test_a_plugin_is_executed_by_nobody_while_results_are_read(tmp_path):
    from atlaspatch_core.consent import executing_nothing

    path = tmp_path / "evil.py"
    path.write_text(PLANTED.format(marker=str(tmp_path / "executed"), rest=PLUGIN))
    with executing_nothing(), pytest.raises(InvalidProject, match="is not executed"):
        load_plugin(path)
    assert not (tmp_path / "executed").exists()

"""A layout of a plugin file: its files are written, told apart by the plugin, checked; nothing else is executed."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from extensions import encode_with, write_extension
from plugins import TINY_ENCODER, plugin_file
from prepared import PreparedFolder
from tracked_folders import paint

from atlaspatch_core.cli.main import cli
from atlaspatch_core.errors import InvalidProject, UnknownName
from atlaspatch_core.interop.export import LAYOUTS, find_layout, plugin_layouts

YIELDED = "Artifact(path, geometry.coords.fingerprint, partial(write, geometry))"
WRONG = {
    "3": "gives a int; give Artifact(path, of, write)",
    YIELDED.replace("path,", "'/tmp/a.csv',", 1): "gives the path /tmp/a.csv; give one inside the folder",
    YIELDED.replace("path,", "'../a.csv',", 1): "gives the path ../a.csv; give one inside the folder",
    YIELDED.replace("path,", "'.atlaspatch/a.json',", 1): "gives the path .atlaspatch/a.json; give one inside",
    f"{YIELDED}; yield {YIELDED}": "gives the file a.csv twice; give each file a name of its own",
    YIELDED.replace("partial(write, geometry)", "print"): "did not write a.csv; write to the very path that is given",
    YIELDED.replace(
        "geometry))", "None))"
    ): "fails: AttributeError: 'NoneType' object has no attribute 'read_coords', at",
    f"{YIELDED}; 1 / 0": "fails: ZeroDivisionError: division by zero, at",
    f"{YIELDED}; raise SystemExit(0)": "would end the program (SystemExit: 0), at",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> PreparedFolder:
    def prepare(folder: Path) -> None:
        paint(folder / "slides", "a")
        assert encode_with(write_extension(folder, "contrast.py"), folder).exit_code == 0

    return PreparedFolder(tmp_path_factory.mktemp("finished"), prepare)


@pytest.fixture
def folder(finished: PreparedFolder) -> Path:
    return finished.put_back()


def export(folder: Path, *words: str, plugin: Path | None = None, source: str = "--output=out") -> Result:
    """Return what exporting to ``to`` gives; ``out`` of the folder, unless a project file is the source."""
    origin = source.replace("=", f"={folder}/")
    named = ["--plugin", str(plugin)] if plugin else []
    return CliRunner().invoke(cli, ["export", origin, "--layout", "places", "--to", str(folder / "to"), *named, *words])


def test_a_layout_of_a_plugin_writes_its_files_once_and_anew_when_it_changed(folder: Path):
    plugin = write_extension(folder, "places.py")
    result = export(folder, plugin=plugin)
    assert (result.exit_code, "1 slide: 1 written; places in" in result.output) == (0, True), result.output
    rows = (folder / "to" / "a.csv").read_text().splitlines()
    assert rows[0] == "x,y"
    assert len(rows) > 1
    assert "1 unchanged" in export(folder, plugin=plugin).output

    write_extension(folder, "places.py", ('"x,y"', '"left,top"'))
    assert "1 written" in export(folder, plugin=plugin).output
    assert (folder / "to" / "a.csv").read_text().startswith("left,top\n")


@pytest.mark.parametrize("wrong", WRONG)
def test_files_that_cannot_be_are_refused_in_one_sentence(folder: Path, wrong: str):
    plugin = write_extension(folder, "places.py", (f"yield {YIELDED}", f"yield {wrong}"))
    result = export(folder, plugin=plugin)
    assert result.exit_code == 1
    assert "a: FAILED: the layout places of a plugin " + WRONG[wrong] in " ".join(result.output.split())
    assert not list((folder / "to").glob("*.csv"))


def test_a_dry_run_writes_nothing(folder: Path):
    result = export(folder, "--dry-run", plugin=write_extension(folder, "places.py"))
    assert (result.exit_code, "1 planned" in result.output) == (0, True)
    assert not (folder / "to").exists()


@pytest.mark.parametrize("named_by", ["project", "results"])
def test_a_plugin_that_the_command_line_does_not_name_is_not_executed(folder: Path, named_by: str):
    plugin = write_extension(folder, "places.py")
    evil = folder / "evil.py"
    evil.write_text(f"open({str(folder / 'executed')!r}, 'w')\nSEGMENTERS = []")
    if named_by == "project":
        (folder / "atlaspatch.toml").write_text(
            f'output = "out"\nplugins = ["{evil}", "{plugin}"]\n[[geometry]]\npatch_size = 256\ntarget_mag = 20\n'
        )
        source = "--project=atlaspatch.toml"
    else:
        run = next((folder / "out" / "runs").glob("*.json"))
        run.write_text(run.read_text().replace(str(plugin_file(TINY_ENCODER)), str(evil)))
        source = "--output=out"
    unnamed = export(folder, source=source)
    assert (unnamed.exit_code, "there is no layout places; choose among trident" in unnamed.output) == (2, True)
    assert export(folder, source=source, plugin=plugin).exit_code == 0
    assert not (folder / "executed").exists()


@pytest.mark.quick
def test_a_layout_that_nobody_declares_is_answered_with_those_of_plugins(tmp_path: Path):
    plugin = write_extension(tmp_path, "places.py")
    with pytest.raises(UnknownName, match=r"there is no layout place; choose among trident, .*geojson, places"):
        find_layout("place", [plugin])
    assert find_layout("trident", [plugin]).plugin is None
    assert find_layout("places", [plugin]).plugin == plugin_layouts([plugin])["places"].plugin
    assert "places" not in LAYOUTS


@pytest.mark.quick
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"places"', '"clam"', "declares clam, and there is a layout of that name; rename it"),
        (
            ", artifacts, ",
            ", ",
            "fails when it is loaded: ValueError: the layout places makes no file; give it artifacts=",
        ),
        ("[ExportLayout", "[3] or [ExportLayout", "declares 3 in EXPORTS, which is no ExportLayout"),
    ],
)
def test_what_is_no_layout_is_refused(tmp_path: Path, before: str, after: str, said: str):
    plugin = write_extension(tmp_path, "places.py", (before, after))
    result = CliRunner().invoke(
        cli,
        [
            "export",
            "--output",
            str(tmp_path),
            "--layout",
            "clam",
            "--to",
            str(tmp_path / "to"),
            "--plugin",
            str(plugin),
        ],
    )
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    with pytest.raises(InvalidProject):
        plugin_layouts([plugin])

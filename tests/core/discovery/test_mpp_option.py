"""``mpp`` of a project: of slides that state none, and of one slide file that is named."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from painting import paint_slide, white

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sources import open_source_here
from atlaspatch_core.errors import UnknownScale

pytestmark = pytest.mark.quick


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wsis").mkdir()
    paint_slide(tmp_path / "wsis" / "silent.svs", white(512, 512), mpp=None)
    paint_slide(tmp_path / "wsis" / "states.svs", white(512, 512), mpp=0.5)
    return tmp_path / "wsis"


def scales(slides: Path, **more: object) -> dict[str, tuple[float, str]]:
    """Return stem to µm/px and where they were stated."""
    project = make_project({"output": slides.parent / "out", "slides": {"folders": (slides,), **more}}, origin="test")
    found = {}
    for source in find_slides(project).sources:
        with open_source_here(source, project.slides) as slide:
            found[source.stem] = (slide.info.mpp, slide.info.mpp_source)
    return found


def test_of_a_folder_it_is_that_of_slides_that_state_none(folder: Path):
    found = scales(folder, mpp=0.25)
    assert found["silent"] == (0.25, "--mpp")
    assert found["states"][0] == 0.5
    with pytest.raises(UnknownScale, match="or by --mpp"):
        scales(folder)


def test_of_one_file_it_wins_and_a_table_wins_over_it(folder: Path):
    assert scales(folder / "states.svs", mpp=0.25)["states"] == (0.25, "--mpp")
    table = folder.parent / "mpp.csv"
    table.write_text("wsi,mpp\nstates.svs,0.125\n")
    assert scales(folder / "states.svs", mpp=0.25, mpp_csv=table)["states"][0] == 0.125


def test_a_table_wins_over_it_in_a_folder_too(folder: Path):
    table = folder.parent / "mpp.csv"
    table.write_text("wsi,mpp\nsilent.svs,0.125\n")
    assert scales(folder, mpp=0.25, mpp_csv=table)["silent"][0] == 0.125


def test_inspect_takes_it_as_a_run_does(folder: Path):
    result = CliRunner().invoke(cli, ["inspect", str(folder / "silent.svs"), "--mpp", "0.3", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["taken"]["mpp"] == 0.3
    assert CliRunner().invoke(cli, ["inspect", str(folder / "silent.svs"), "--mpp", "0"]).exit_code == 2

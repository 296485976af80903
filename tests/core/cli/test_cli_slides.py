"""Finding slides on the command line: what is named, what is left out, and what the exit code says of it."""

from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from painting import paint_slide, white
from waiting import SECONDS

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery import stability as resting
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import SLIDE, make_recipe

LITE = "efficientnet_lite0"


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """A folder with two slides without tissue, one of them deeper, so that nothing has to be computed."""
    for name in ("a.svs", "deep/b.svs"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        paint_slide(tmp_path / "in" / name, white(512, 512))
    return tmp_path / "in"


def run(*places: Path | str, **more: str) -> Result:
    options = [word for name, value in more.items() for word in (f"--{name.replace('_', '-')}", value)]
    words = ["--patch-encoders", LITE, "--patch-size", "256", "--target-mag", "20", "--device", "cpu", *options]
    output = ["-o", str(Path(str(places[0])).parent / "out")]
    return CliRunner().invoke(cli, ["encode-slide", *map(str, places), *output, *words])


def stems(result: Result) -> list[str]:
    return sorted(line.partition(":")[0] for line in result.stdout.splitlines() if " patches" in line)


def test_several_paths_and_patterns_are_taken_together(slides):
    assert stems(run(slides / "a.svs", slides / "d*" / "*.svs")) == ["a", "b"]
    assert stems(run(slides / "**" / "*.svs")) == ["a", "b"]


def test_what_is_left_out_is_named_at_the_end_and_the_exit_code_is_1(slides):
    (slides / "gone.svs").symlink_to(slides / "nothing.svs")
    result = run(slides)
    why = f"{slides / 'gone.svs'} is a link that leads to nothing; put back its target, or delete it"
    assert stems(result) == ["a"]
    assert f"LEFT OUT: {why}\n" in result.stderr
    assert result.stdout.splitlines()[-1] == f"1 left out: {why}"
    assert result.exit_code == 1


def test_a_slide_that_is_still_being_copied_is_left_for_the_next_run(slides, monkeypatch):
    def go_on_writing(_: float) -> None:
        """Write to a slide between two looks at it."""
        with (slides / "deep" / "b.svs").open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(resting, "SECONDS_RECENT", SECONDS)
    monkeypatch.setattr(resting, "leave_copies", partial(resting.leave_copies, wait=go_on_writing))
    result = run(slides / "**" / "*.svs")
    assert stems(result) == ["a"]
    assert "b.svs is still being copied; run again when it is whole" in result.stdout
    assert result.exit_code == 1


def test_a_list_with_a_slide_that_is_not_there_goes_on_with_the_others(slides):
    table = slides.parent / "list.csv"
    table.write_text("wsi\nnone.svs\ndeep/b.svs\n")
    result = run(slides, custom_list_of_wsis=str(table))
    assert stems(result) == ["b"]
    assert "list.csv, line 2: there is no none.svs in " in result.stdout
    assert result.exit_code == 1


def test_extensions_are_searched_below_and_in_any_case(slides):
    (slides / "c.SVS").symlink_to(slides / "a.svs")
    result = run(slides, "--search-nested", "--wsi-ext", ".svs")
    assert stems(result) == ["a", "b", "c"]
    assert run(slides, wsi_ext=".tif .ome.tif").exit_code == 1


def test_status_names_on_stderr_what_was_left_out(slides, monkeypatch):
    (slides / "gone.svs").symlink_to(slides / "nothing.svs")
    monkeypatch.chdir(slides.parent)
    CliRunner().invoke(cli, ["init", "--slides", str(slides)])
    result = CliRunner().invoke(cli, ["status"])
    assert result.exit_code == 0
    assert "LEFT OUT: " in result.stderr


def test_another_reader_is_another_identity_and_a_name_for_the_mpp_is_not(slides):
    """Another reader is another identity and another name for the mpp only its number."""

    def fingerprint(**asked: object) -> str | None:
        made = make_project({"output": slides.parent / "o", "slides": asked}, origin="test")
        (outcome,) = process([SlideSource("a", slides / "a.svs")], make_recipe(made), steps=[SLIDE])
        return outcome.fingerprint

    first = fingerprint()
    assert fingerprint(mpp_keys=["aperio.mpp"]) == first
    assert fingerprint(reader="openslide") == first
    assert fingerprint(reader="tiff") != first
    record = Store(slides.parent / "o").read_record("a").slide
    assert record is not None
    assert (record.reader, record.mpp_keys) == ("tiff", ())

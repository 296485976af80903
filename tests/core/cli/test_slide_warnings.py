"""Every warning about a slide ends in the run's last line, summary.md, status and its page; it fails where strict."""

import ast
import html
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from paths import ROOT
from rounds import examples
from tracked_folders import encode

from atlaspatch_assets.lib.metadata import event_metadata
from atlaspatch_core.cli.main import cli
from atlaspatch_core.discovery import staging
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.discovery.staging import Stager
from atlaspatch_core.storage.records import StepNotes
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status

SQUARE = {
    "type": "Polygon",
    "coordinates": [[[128, 128], [640, 128], [640, 896], [128, 896], [128, 128]]],
}
BESIDE = {"type": "Polygon", "coordinates": [[[4000, 0], [5000, 0], [5000, 900], [4000, 0]]]}
POINT = {"type": "Point", "coordinates": [1, 1]}


def save_geojson(path: Path, *shapes: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    features = [{"type": "Feature", "geometry": shape, "properties": {}} for shape in shapes]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def supply(*shapes: dict) -> Callable[[Path], list[str]]:
    def prepare(folder: Path) -> list[str]:
        save_geojson(folder / "masks" / "a.geojson", *shapes)
        return ["--masks", str(folder / "masks")]

    return prepare


def edit(*shapes: dict) -> Callable[[Path], list[str]]:
    def prepare(folder: Path) -> list[str]:
        encode(folder)
        save_geojson(folder / "out" / "contours_geojson" / "a.geojson", *shapes)
        return []

    return prepare


def state_two_mpps(folder: Path) -> list[str]:
    (folder / "mpp.csv").write_text("wsi,mpp\na.svs,0.25\nA,0.5\n")
    return ["--mpp-csv", str(folder / "mpp.csv")]


def block_picture(*parts: str) -> Callable[[Path], list[str]]:
    """A folder lies where the picture belongs."""

    def prepare(folder: Path) -> list[str]:
        (folder / "out").joinpath(*parts).mkdir(parents=True)
        return ["--visualize-mask", "--visualize-grids"]

    return prepare


def paint_narrow_tissue(folder: Path) -> list[str]:
    paint_slide(folder / "slides" / "a.svs", stain(white(1024, 1024), 128, 128, 200, 800))
    return ["--min-tissue", "1"]


SITUATIONS: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "outlines of which a part is no tissue": (supply(SQUARE, POINT), "1 point left out of the tissue"),
    "an outline beside the slide": (supply(SQUARE, BESIDE), "outline 2 (centre 4667, 300) lies beside"),
    "edited outlines of which a part is no tissue": (edit(SQUARE, POINT), "1 point left out of the tissue"),
    "an edited outline beside the slide": (edit(SQUARE, BESIDE), "outline 2 (centre 4667, 300) lies beside"),
    "two statements of a scale": (state_two_mpps, "two µm/px are stated, 0.25 in"),
    "a picture of the mask that cannot be written": (
        block_picture("visualization", "a_mask.png"),
        "pictures were not written",
    ),
    "a picture of patches that cannot be written": (block_picture("visualization", "a.png"), "pictures were not"),
    "no patch": (paint_narrow_tissue, "no patch is kept"),
    "no tissue": (lambda folder: [str(paint_slide(folder / "slides" / "a.svs", white(1024, 1024)))][:0], "no tissue"),
}


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Folder with the slides ``a`` and ``good``."""
    (tmp_path / "slides").mkdir()
    for stem in ("a", "good"):
        paint_slide(tmp_path / "slides" / f"{stem}.svs", stain(white(1024, 1024), 128, 128, 512, 768))
    return tmp_path


def status(folder: Path, *words: str) -> str:
    result = CliRunner().invoke(cli, ["status", str(folder / "out"), *words])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_warning_ends_in_every_place(situation: str, slides: Path):
    prepare, words = SITUATIONS[situation]
    options = prepare(slides)
    for _ in ("computed", "reused"):
        done = encode(slides, *options)
        assert done.exit_code == 0, done.output
        assert "1 slide with warnings" in done.output.splitlines()[-1]
        assert "a: WARNING: " in done.output
        assert words in " ".join(done.output.split())
    assert words in (slides / "out" / "summary.md").read_text()
    assert words in status(slides)
    assert "1 slide with warnings:" in status(slides)
    assert [row["slide"] for row in json.loads(status(slides, "--json")) if words in row["warnings"]] == ["a"]
    assert words in status(slides, "--csv").replace('""', '"')
    status(slides, "--html", str(slides / "page.html"))
    assert words in html.unescape((slides / "page.html").read_text())
    assert encode(slides, *options, "--strict").exit_code == 1


@pytest.mark.parametrize("situation", ["edited outlines of which a part is no tissue", "two statements of a scale"])
def test_what_was_mended_is_warned_of_no_more(situation: str, slides: Path):
    prepare, words = SITUATIONS[situation]
    encode(slides, *prepare(slides))
    encode(slides)
    save_geojson(slides / "out" / "contours_geojson" / "a.geojson", SQUARE)
    assert words not in encode(slides).output
    assert words not in status(slides)


def test_a_copy_that_cannot_be_made_is_a_note_of_the_slide(slides: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(staging, "LEAST_FREE", 2**62)
    monkeypatch.setattr(staging, "_free", lambda _: 0)
    with Stager([SlideSource("a", slides / "slides" / "a.svs")], slides / "cache") as stager:
        (source,) = stager
    assert "it is read where it lies" in source.notes[0]


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1).map(lambda text: f"<{text}&>")


@pytest.fixture(scope="module")
def worked_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worked_on")
    (folder / "slides").mkdir()
    paint_slide(folder / "slides" / "a.svs", stain(white(1024, 1024), 128, 128, 512, 768))
    encode(folder)
    return folder


@examples(8)
@given(TEXTS, st.sampled_from(["slide", "tissue_mask", "patch_coords", "patch_features/tiny"]))
def test_any_note_on_an_output_is_told_by_status_while_the_output_is_the_same(worked_on: Path, text: str, step: str):
    store = Store(worked_on / "out")
    for fingerprint, is_told in ((fingerprint_of(store, step), True), ("another", False)):
        store.write_notes("a", step, StepNotes(fingerprint, (text,)))
        told = [row["warnings"] for row in json.loads(status(worked_on, "--json"))]
        assert told == [text if is_told else "", *[""] * (len(told) - 1)]
    store.write_notes("a", step, StepNotes("", ()))
    assert not store.read_record("a").notes


def fingerprint_of(store: Store, step: str) -> str:
    record = store.read_record("a")
    assert record.slide
    assert record.tissue_mask
    of_records = {"slide": record.slide.identity.fingerprint, "tissue_mask": record.tissue_mask.polygons}
    dataset = {"patch_coords": "coords"}.get(step, step.replace("patch_features", "features"))
    return of_records.get(step) or str(store.stored_results("a")[dataset].fingerprint)


@given(st.lists(TEXTS, min_size=1, max_size=3), st.sampled_from(Status))
def test_any_note_of_an_outcome_is_on_the_page_of_the_slide_in_dagster(notes: list[str], fate: Status):
    outcome = Outcome("a", OutputKey("patch_coords"), fate, notes=tuple(notes))
    assert event_metadata(outcome)["warnings"].value == "; ".join(notes)


NOT_ABOUT_A_SLIDE = {
    ("atlaspatch_core/api/encoding.py", "str(warning)"),  # scales of encoders
    ("atlaspatch_core/api/running.py", "str(warning)"),
    (
        "atlaspatch_core/operations/tracking/locking.py",
        "%s is held for over %.0f s by %s, which is stopped or hangs; this run goes on without waiting for it, nothing "
        "is lost, and that process may be continued or ended",
    ),
    ("atlaspatch_core/storage/disk.py", "%s: %s is in use; it is waited for, at most %g s"),
    (
        "atlaspatch_core/operations/tracking/tracker.py",
        "the run is not tracked in %s (%s); results are kept all the same",
    ),
    (
        "atlaspatch_core/encoders/devices.py",
        "this machine has no GPU that torch can use (CUDA or MPS): computing on the CPU",
    ),
    (
        "atlaspatch_core/encoders/patch_encoders.py",
        "the device is out of memory with %d patches at a time; going on with %d",
    ),
    (
        "atlaspatch_core/pipeline/workers/pool.py",
        "the worker on %s ended with %s; going on without it, on %d",
    ),
    ("atlaspatch_core/interop/export/parquet.py", "%s cannot be read as Parquet: %s"),
    ("atlaspatch_core/storage/hdf5_changes.py", "%s: %s is damaged and not kept: %s"),
    ("atlaspatch_core/slides/isolated.py", "%s; what was read of it before is whole"),
    ("atlaspatch_core/api/embedding_tables.py", "f\"left out: {'; '.join(clauses)}\""),
    ("atlaspatch_core/api/bag_selection.py", "clause"),
    ("atlaspatch_core/api/running.py", "%s"),
    ("atlaspatch_core/api/running.py", "left out: %s"),
    ("atlaspatch_core/patches/isolated_stream.py", "%s; what was read of it before is whole"),
}
"""What may go to the log alone: a delay that ends well or as a failure, the run itself, the device, what commands and
Python say that make no results, what a run makes anew, and a reader that crashes when all is read: ``crashes/`` notes
it."""


def logged_warnings() -> Iterator[tuple[str, str]]:
    for path in (ROOT / "atlaspatch_core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=level), args=[text, *_]) if owner in (
                    "log",
                    "logger",
                    "logging",
                    "warnings",
                ) and level in ("warn", "warning", "error", "critical"):
                    words = text.value if isinstance(text, ast.Constant) else ast.unparse(text)
                    yield path.relative_to(ROOT).as_posix(), str(words)


def test_a_warning_about_a_slide_is_a_note_of_its_outcome_and_goes_not_to_the_log():
    assert set(logged_warnings()) == NOT_ABOUT_A_SLIDE

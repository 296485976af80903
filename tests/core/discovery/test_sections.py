"""Files told apart into their sections: names, tables, clashes, and what is remembered of them."""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.arrival import ArrivalCursor, Budget, scan_arrivals
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.slide_inspector import ArrivalState, ArrivalStatus, SlideInspector
from atlaspatch_core.discovery.sources import Discovery, open_source
from atlaspatch_core.discovery.unused import unused_inputs
from atlaspatch_core.errors import AtlasPatchError, InvalidManifest, InvalidProject, UnreadableSlide
from atlaspatch_core.pipeline.patients.manifest import manifest_of
from atlaspatch_core.slides import open_slide
from atlaspatch_core.storage.store import Store

pytestmark = pytest.mark.quick

SETTLED = time.time() - 3600


def write(folder: Path, name: str, *widths: int) -> Path:
    """Write an OME-TIFF of images of these widths, that lies at rest."""
    folder.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(folder / name, ome=True) as writer:
        for width in widths:
            pixels = np.full((96, width, 3), 90 + width % 100, np.uint8)
            about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
            writer.write(pixels, photometric="rgb", tile=(64, 64), metadata=about)
    os.utime(folder / name, (SETTLED, SETTLED))
    return folder / name


def project(folder: Path, series: int | str | None = "all", **slides) -> Project:
    where = {"folders": [folder / "slides"]} | ({} if series is None else {"series": series})
    values = {"output": folder / "out", "slides": where | slides.pop("slides", {})} | slides
    return make_project(values, origin="test")


def named(found: Discovery) -> dict[str, int | str | None]:
    """Return stem to the image of its file."""
    return {source.stem: source.series for source in found.sources}


def table(folder: Path, name: str, *rows: str) -> Path:
    (folder / name).write_text("\n".join(rows) + "\n")
    return folder / name


def test_each_section_is_named_after_its_number_and_a_single_scan_after_its_file(tmp_path):
    write(tmp_path / "slides", "a.ome.tif", 200, 160)
    write(tmp_path / "slides", "b.ome.tif", 128)
    assert named(find_slides(project(tmp_path))) == {"a_series0": 0, "a_series1": 1, "b": None}
    assert named(find_slides(project(tmp_path, None))) == {"a": None, "b": None}
    assert named(find_slides(project(tmp_path, 1))) == {"a": 1, "b": 1}


def test_sections_open_as_themselves_and_errors_name_them(tmp_path):
    write(tmp_path / "slides", "a.ome.tif", 200, 160)
    of = project(tmp_path)
    for source, width in zip(find_slides(of).sources, (200, 160), strict=True):
        with open_source(source, of.slides) as slide:
            assert (slide.info.stem, slide.info.width, slide.info.notes) == (source.stem, width, ())
    gone = replace(find_slides(of).sources[0], series=5)
    with pytest.raises(UnreadableSlide, match=r"^a_series0: a\.ome\.tif holds no image number 5; .* 2 in all, so"):
        open_source(gone, of.slides)


@pytest.mark.parametrize(
    ("widths", "words"), [((200,), "1 in all, so leave out --series"), ((200, 160), "2 in all, so")]
)
def test_a_number_beyond_is_told_with_how_many_there_are(tmp_path, widths, words):
    path = write(tmp_path, "a.ome.tif", *widths)
    with pytest.raises(UnreadableSlide, match=f"holds no image number 9; it holds number 0 .*{words}"):
        open_slide(path, series=9)


def test_a_section_and_a_file_of_one_name_are_both_named(tmp_path):
    first = write(tmp_path / "slides", "a.ome.tif", 200, 160)
    other = write(tmp_path / "slides", "a_series1.ome.tif", 128)
    found = find_slides(project(tmp_path))
    assert named(found) == {"a_series0": 0}
    (clash,) = found.clashes
    assert clash.stem == "a_series1"
    assert f"an image of {first} and {other} have one stem" in str(clash.error)


FILES = st.tuples(
    st.sampled_from(["one", "two"]), st.sampled_from(["a", "a_series0", "a_series1"]), st.sampled_from([".tif", ".svs"])
)


@given(files=st.dictionaries(FILES, st.sampled_from([(200,), (200, 160)]), min_size=1, max_size=5))
@examples(40)
def test_every_image_is_a_slide_or_named_in_a_clash_and_no_stem_is_both(files: dict):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = {
            write(folder / "slides" / at, stem + suffix, *widths): widths
            for (at, stem, suffix), widths in files.items()
        }
        found = find_slides(project(folder, slides={"recursive": True}))

    assert {source.stem for source in found.sources}.isdisjoint(clash.stem for clash in found.clashes)
    slides = [(source.path, source.series) for source in found.sources]
    assert len(set(slides)) == len(slides)
    in_clashes = {path for clash in found.clashes for path in clash.paths}
    for path, widths in images.items():
        assert path in in_clashes or {series for at, series in slides if at == path} == (
            {None} if len(widths) == 1 else {0, 1}
        )


def test_a_name_that_the_number_makes_too_long_is_left_out(tmp_path):
    write(tmp_path / "slides", f"{'a' * 195}.ome.tif", 200, 160)
    write(tmp_path / "slides", "b.ome.tif", 128)
    found = find_slides(project(tmp_path))
    assert named(found) == {"b": None}
    assert {left.why.partition(": ")[2] for left in found.left_out} == {
        "its name and the number of an image have 203 bytes before the suffix, more than 200; rename it"
    }


def test_a_list_chooses_for_each_of_its_slides(tmp_path):
    for name in "abcd":
        write(tmp_path / "slides", f"{name}.ome.tif", 200, 160)
    rows = ("wsi,series,mpp", "a.ome.tif,all,", "b.ome.tif,1,0.25", "b.ome.tif,0,", "c.ome.tif,,", "d.ome.tif,ALL,0.4",
            "d.ome.tif,1,0.3")  # fmt: skip
    of = project(tmp_path, None, slides={"slide_list": table(tmp_path, "list.csv", *rows)})
    found = find_slides(of)
    assert named(found) == {"a_series0": 0, "a_series1": 1, "b_series0": 0, "b_series1": 1, "c": None} | {
        "d_series0": 0, "d_series1": 1
    }  # fmt: skip
    mpps = {source.stem: source.mpp for source in found.sources if source.mpp}
    assert mpps == {"b_series1": 0.25, "d_series0": 0.4, "d_series1": 0.3}


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "²"])
def test_a_list_with_no_number_is_refused_by_line_and_value(tmp_path, text):
    write(tmp_path / "slides", "a.ome.tif", 200, 160)
    listed = table(tmp_path, "list.csv", "wsi,series", f"a.ome.tif,{text}")
    with pytest.raises(InvalidProject, match=f"line 2: series is '{text}'; give the number of an image"):
        find_slides(project(tmp_path, slides={"slide_list": listed}))


def test_a_row_of_mpp_is_of_all_sections_or_of_one(tmp_path):
    write(tmp_path / "slides", "a.ome.tif", 200, 160)
    rows = table(tmp_path, "mpp.csv", "wsi,mpp", "a.ome.tif,0.4", "a_series1,0.3", "A_series0.ome.tif,0.35", "b,1")
    of = project(tmp_path, slides={"mpp_csv": rows})
    found = find_slides(of)
    assert {source.stem: source.mpp for source in found.sources} == {"a_series0": 0.35, "a_series1": 0.3}
    assert [unused.names for unused in unused_inputs(of.slides, found)] == [("b",)]


def test_a_mask_is_named_as_its_section(tmp_path):
    write(tmp_path / "slides", "a.ome.tif", 200, 160)
    (tmp_path / "masks").mkdir()
    for name in ("a_series1.geojson", "a.geojson"):
        (tmp_path / "masks" / name).touch()
    of = project(tmp_path, slides={"masks": tmp_path / "masks"})
    assert [unused.names for unused in unused_inputs(of.slides, find_slides(of))] == [("a.geojson",)]


def blank(path: Path) -> None:
    """Make a file unreadable, and leave its size and time."""
    state = path.stat()
    path.write_bytes(bytes(state.st_size))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_file_that_lies_untouched_is_not_opened_again(tmp_path):
    path = write(tmp_path / "slides", "a.ome.tif", 200, 160)
    before = named(find_slides(project(tmp_path)))
    blank(path)
    write(tmp_path / "slides", "b.ome.tif", 128, 160, 100)
    assert named(find_slides(project(tmp_path))) == before | {"b_series0": 0, "b_series1": 1, "b_series2": 2}
    os.utime(path, (SETTLED + 60, SETTLED + 60))
    assert "a" in named(find_slides(project(tmp_path))), "it changed, so it is looked into"


def test_another_search_with_the_same_output_forgets_nothing(tmp_path):
    path, other = write(tmp_path / "slides", "a.ome.tif", 200, 160), write(tmp_path / "more", "b.ome.tif", 200, 160)
    find_slides(project(tmp_path))
    find_slides(project(tmp_path, slides={"folders": [tmp_path / "more"]}))
    blank(path), blank(other)
    assert set(named(find_slides(project(tmp_path)))) == {"a_series0", "a_series1"}


def test_nothing_is_opened_or_written_unless_it_is_asked_for(tmp_path):
    blank(write(tmp_path / "slides", "a.ome.tif", 200, 160))
    assert named(find_slides(project(tmp_path, None))) == {"a": None}
    assert not (tmp_path / "out").exists()
    write(tmp_path / "slides", "b.ome.tif", 200, 160)
    find_slides(project(tmp_path), remember=False)
    assert not (tmp_path / "out").exists()


def test_without_time_what_is_remembered_is_found_and_the_rest_is_out_of_sight(tmp_path):
    write(tmp_path / "slides", "a.ome.tif", 200, 160)
    find_slides(project(tmp_path))
    write(tmp_path / "slides", "b.ome.tif", 200, 160)
    found = find_slides(project(tmp_path), seconds=-1)
    assert set(named(found)) == {"a_series0", "a_series1"}
    assert [left.why for left in found.unseen] == [
        f"1 file from {tmp_path / 'slides' / 'b.ome.tif'} on not yet looked into for sections; the next search goes on "
        f"there"
    ]
    assert not find_slides(project(tmp_path)).unseen


def test_a_file_that_cannot_be_told_apart_fails_as_one_slide(tmp_path):
    blank(write(tmp_path / "slides", "a.ome.tif", 200, 160))
    of = project(tmp_path)
    (source,) = find_slides(of).sources
    assert (source.stem, source.series) == ("a", "all")
    with pytest.raises(UnreadableSlide, match=r"^a: "):
        open_source(source, of.slides)
    write(tmp_path / "slides", "a.ome.tif", 200, 160)
    with pytest.raises(UnreadableSlide, match=r"^a: the images 0, 1 of a\.ome\.tif could not be told apart"):
        open_source(source, of.slides)


def arrivals(folder: Path, cursor: ArrivalCursor, known: Sequence[str], most: int):
    of = project(folder)
    state = ArrivalState(known, again=known)
    later = time.time() + 1000
    inspector = SlideInspector(Store(of.output), state, lambda: later, slides=of.slides)
    return scan_arrivals(find_slides(of), inspector, cursor, Budget(lambda: False, most))


@pytest.mark.parametrize("known", [(), tuple(f"a_series{number}" for number in range(12))])
def test_a_look_that_ends_between_sections_of_a_file_goes_on_there(tmp_path, known):
    write(tmp_path / "slides", "a.ome.tif", *range(200, 212))
    cursor, ready, seen = ArrivalCursor(), [], list(known)
    for _ in range(6):
        scan = arrivals(tmp_path, cursor, seen, 3)
        of_scan = [arrival.stem for arrival in scan.of(ArrivalStatus.READY)]
        ready, cursor = ready + of_scan, scan.cursor
        seen += [] if known else of_scan
        if len(ready) >= 12:
            break
    assert sorted(ready) == sorted(f"a_series{number}" for number in range(12))


def cases_of(folder: Path, *rows: str, series: int | str | None = "all"):
    cases = table(folder, "cases.csv", *rows)
    return manifest_of(project(folder, series, patients={"manifest": cases}))


def test_all_sections_of_a_file_belong_to_its_case(tmp_path):
    write(tmp_path / "slides", "a.ome.tif", 200, 160)
    write(tmp_path / "slides", "b.ome.tif", 128)
    read = cases_of(tmp_path, "case_id,slide_path,mpp", "P1,slides/a.ome.tif,0.3", "P2,slides/b.ome.tif,")
    assert {case.case_id: case.stems for case in read.cases} == {"P1": ("a_series0", "a_series1"), "P2": ("b",)}
    assert {stem: (it.series, it.mpp, it.mpp_source) for stem, it in read.slides.items()} == {
        "a_series0": (0, 0.3, "manifest"), "a_series1": (1, 0.3, "manifest"), "b": (None, None, "")
    }  # fmt: skip


def test_sections_of_a_file_may_belong_to_several_cases(tmp_path):
    write(tmp_path / "slides", "a.ome.tif", 200, 160)
    rows = ("case_id,slide_path,series", "P1,slides/a.ome.tif,0", "P2,slides/a.ome.tif,1", "P3,slides/a.ome.tif,")
    read = cases_of(tmp_path, *rows, series=None)
    assert [case.stems for case in read.cases] == [("a_series0",), ("a_series1",), ("a",)]
    with pytest.raises(InvalidManifest, match="line 2: series is 'first'"):
        cases_of(tmp_path, "case_id,slide_path,series", "P1,slides/a.ome.tif,first")
    with pytest.raises(AtlasPatchError, match=r"line 3: .* stands twice in case P1"):
        cases_of(tmp_path, "case_id,slide_path,series", "P1,slides/a.ome.tif,0", "P1,slides/a.ome.tif,all")

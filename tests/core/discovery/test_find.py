"""Finding slides."""

import os
import re
from pathlib import Path

import pytest
from dicom_heads import dicom_head

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.find import discover, find_slides
from atlaspatch_core.discovery.search import LeftOut
from atlaspatch_core.discovery.slide_tables import TableMpp
from atlaspatch_core.discovery.sources import Clash, Discovery, SlideSource
from atlaspatch_core.errors import InvalidProject, NoSlides, UnseenSlides

pytestmark = pytest.mark.quick


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(found: Discovery) -> list[str]:
    return [source.path.name for source in found.sources]


def test_folder_gives_its_slides_by_path_whatever_the_case_of_the_suffix(tmp_path):
    touch(tmp_path, "c.SVS", "a.Tiff", "b.ome.tif", "d.png", "notes.txt", ".hidden.svs", "sub/e.svs")
    assert names(discover([tmp_path])) == ["a.Tiff", "b.ome.tif", "c.SVS"]


def test_folders_below_are_searched_only_when_recursive(tmp_path):
    touch(tmp_path, "a.svs", "sub/deep/b.svs", ".hidden/c.svs")
    assert names(discover([tmp_path])) == ["a.svs"]
    assert names(discover([tmp_path], recursive=True)) == ["a.svs", "b.svs"]


def test_data_of_multi_file_slides_are_no_slides(tmp_path):
    touch(tmp_path, "m.mrxs", "m/Data0000.png", "v.vms", "v(0,1).jpg", "v_map2.jpg", "v2.jpg", "z.ome.zarr/0/0.png")
    touch(tmp_path, "u.vmu", "u.ngr", "other.jpg")
    found = discover([tmp_path], recursive=True)
    assert names(found) == ["m.mrxs", "u.vmu", "v.vms", "z.ome.zarr"]
    assert [path.name for path in found.pictures] == ["other.jpg", "v2.jpg"]
    assert [source.stem for source in found.sources] == ["m", "u", "v", "z"]


def test_pictures_that_an_index_names_are_no_slides_whatever_they_are_called(tmp_path):
    touch(tmp_path, "odd.jpg", "free.jpg")
    (tmp_path / "v.vms").write_bytes(b"[Virtual Microscope Specimen]\r\nImageFile=odd.jpg\r\n")
    found = discover([tmp_path])
    assert (names(found), [path.name for path in found.pictures]) == (["v.vms"], ["free.jpg"])


def test_a_folder_of_the_instances_of_one_series_is_one_slide_named_as_the_folder(tmp_path):
    for name in ("1.dcm", "2.DCM", "3.dicom"):
        dicom_head(tmp_path / "case" / name, "1.1")
    touch(tmp_path, "a.svs", "case/notes.txt")
    touch(tmp_path, "deep/b.svs")
    dicom_head(tmp_path / "deep" / "more" / "1.dcm", "1.2"), dicom_head(tmp_path / "deep" / "more" / "2.dcm", "1.2")
    assert names(discover([tmp_path])) == ["a.svs", "case"]
    assert names(discover([tmp_path], recursive=True)) == ["a.svs", "case", "b.svs", "more"]
    assert discover([tmp_path / "case"]).sources == (SlideSource("case", tmp_path / "case"),)


def test_a_folder_that_is_a_slide_has_its_name_even_when_it_is_written_without(tmp_path, monkeypatch):
    for name in ("1.dcm", "2.dcm"):
        dicom_head(tmp_path / "case" / name, "1.1")
    monkeypatch.chdir(tmp_path / "case")
    assert [source.stem for source in discover([Path()]).sources] == ["case"]


def test_of_several_series_in_a_folder_each_is_one_slide_named_as_its_first_file(tmp_path):
    for name, series in (("a.dcm", "1.1"), ("b.dcm", "1.2"), ("c.dcm", "1.1"), ("d.dcm", "1.3")):
        dicom_head(tmp_path / name, series)
    assert names(discover([tmp_path])) == ["a.dcm", "b.dcm", "d.dcm"]


def test_dicom_instances_beside_another_slide_are_one_slide_named_as_the_first(tmp_path):
    dicom_head(tmp_path / "1.dcm", "1.1"), dicom_head(tmp_path / "2.dcm", "1.1")
    touch(tmp_path, "a.svs")
    assert names(discover([tmp_path])) == ["1.dcm", "a.svs"]


def test_only_the_extensions_asked_for_are_taken_in_any_case(tmp_path):
    touch(tmp_path, "a.SVS", "b.tif", "c.ome.tif", "d.odd", "e.zarr/0/0", "f.mrxs")
    dicom_head(tmp_path / "g" / "1.dcm", "1.1"), dicom_head(tmp_path / "g" / "2.dcm", "1.1")

    def taken(*extensions: str) -> list[str]:
        return names(discover([tmp_path], recursive=True, extensions=extensions))

    assert taken(".svs", ".ODD") == ["a.SVS", "d.odd"]
    assert taken(".tif") == ["b.tif", "c.ome.tif"]
    assert taken(".ome.tif") == ["c.ome.tif"]
    assert taken(".zarr", ".dcm") == ["e.zarr", "g"]


def test_hidden_files_such_as_those_of_a_mac_are_no_slides(tmp_path):
    touch(tmp_path, "a.svs", "._a.svs", ".DS_Store", ".Trashes/b.svs", "._z.zarr/0")
    assert names(discover([tmp_path], recursive=True)) == ["a.svs"]


@pytest.mark.parametrize(
    ("pattern", "recursive", "expected"),
    [
        ("*.svs", False, ["a.svs"]),
        ("**/*.svs", False, ["a.svs", "b.svs", "c.svs"]),
        ("*/*.svs", False, ["b.svs"]),
        ("[ab].*", False, ["a.svs"]),
        ("on?", False, ["b.svs", "d.tiff", "s"]),
        ("one/s", False, ["s"]),
        ("on?", True, ["b.svs", "c.svs", "d.tiff", "s"]),
        ("one/**", False, ["b.svs", "c.svs", "d.tiff", "s"]),
        ("**/*.dcm", False, ["s"]),
        ("**/s", False, ["s"]),
        ("**/*.jpg", False, ["free.jpg"]),
    ],
)
def test_a_pattern_means_what_it_means_to_a_shell(tmp_path, pattern, recursive, expected):
    """A pattern means what it means to a shell and keeps the data of slides apart."""
    touch(
        tmp_path, "a.svs", "one/b.svs", "one/d.tiff", "one/deep/c.svs", "v.vms", "v(1,0).jpg", "free.jpg", "notes.txt"
    )
    dicom_head(tmp_path / "one" / "s" / "1.dcm", "1.1"), dicom_head(tmp_path / "one" / "s" / "2.dcm", "1.1")
    assert sorted(names(discover([tmp_path / pattern], recursive=recursive))) == expected


def test_a_pattern_may_begin_where_one_stands(tmp_path, monkeypatch):
    touch(tmp_path, "a.svs", "sub/b.svs")
    monkeypatch.chdir(tmp_path)
    assert [source.path for source in discover([Path("*.svs")]).sources] == [Path("a.svs")]
    assert [source.path for source in discover([Path("**/*.svs")]).sources] == [Path("a.svs"), Path("sub/b.svs")]


def test_a_link_to_nothing_is_named_only_where_the_pattern_means_it(tmp_path):
    touch(tmp_path, "a.svs", "b.tiff")
    (tmp_path / "gone.svs").symlink_to(tmp_path / "nothing")
    assert discover([tmp_path / "*.tiff"]).left_out == ()
    assert [left.path.name for left in discover([tmp_path / "*.svs"]).left_out] == ["gone.svs"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    touch(tmp_path, "a[1].svs", "a1.svs")
    assert names(discover([tmp_path / "a[1].svs"])) == ["a[1].svs"]


def test_a_pattern_that_fits_nothing_is_named(tmp_path):
    touch(tmp_path, "a.svs")
    for pattern in ("*.tiff", "none/*.svs"):
        with pytest.raises(NoSlides, match=rf"{re.escape(pattern)}: no slide found"):
            discover([tmp_path / pattern])


def test_excluded_folders_are_not_searched(tmp_path):
    touch(tmp_path, "a.svs", "out/thumbnails/a.jpg")
    assert names(discover([tmp_path], recursive=True, exclude=[tmp_path / "out"])) == ["a.svs"]


def test_file_named_directly_is_taken_whatever_its_suffix_and_once(tmp_path):
    touch(tmp_path, "a.weird", "b.svs")
    found = discover([tmp_path / "a.weird", tmp_path / "b.svs", tmp_path, tmp_path / "." / "b.svs"])
    assert names(found) == ["a.weird", "b.svs"]
    assert found.clashes == ()


def test_links_that_form_a_ring_end(tmp_path):
    touch(tmp_path, "sub/a.svs")
    (tmp_path / "sub" / "again").symlink_to(tmp_path)
    assert names(discover([tmp_path], recursive=True)) == ["a.svs"]


def test_mpp_of_the_table_goes_with_the_slide_of_its_stem(tmp_path):
    touch(tmp_path, "a.svs", "b.svs")
    assert discover([tmp_path], mpp_by_name={"a": TableMpp(0.25), "c": TableMpp(1.0)}).sources == (
        SlideSource("a", tmp_path / "a.svs", 0.25, "mpp csv"),
        SlideSource("b", tmp_path / "b.svs", None, ""),
    )


def test_files_of_one_stem_clash_and_neither_runs(tmp_path):
    touch(tmp_path, "one/a.svs", "two/a.ome.tiff", "two/b.svs")
    found = discover([tmp_path], recursive=True)
    first, second = tmp_path / "one" / "a.svs", tmp_path / "two" / "a.ome.tiff"
    assert names(found) == ["b.svs"]
    assert found.clashes == (Clash("a", (first, second)),)
    assert str(found.clashes[0].error).startswith(f"a: {first} and {second} have one stem")


def test_a_slide_and_links_to_it_are_one_slide_named_as_the_one_that_is_no_link(tmp_path):
    touch(tmp_path, "two/a.svs")
    for folder in ("one", "three"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.svs").symlink_to(tmp_path / "two" / "a.svs")
    found = discover([tmp_path / "one" / "a.svs", tmp_path], recursive=True, mpp_by_name={"a": TableMpp(0.25)})
    assert found.sources == (SlideSource("a", tmp_path / "two" / "a.svs", 0.25, "mpp csv"),)
    assert found.clashes == ()


def test_links_to_a_slide_are_one_slide_and_another_file_of_its_stem_clashes(tmp_path):
    """Links to a slide elsewhere are one slide and another file of its stem still clashes."""
    touch(tmp_path, "store/0001", "in/z/a.tif", "in/b.svs")
    for name in ("in/x/a.svs", "in/y/a.svs", "in/x/b.svs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "store" / "0001")
    found = discover([tmp_path / "in"], recursive=True)
    assert found.sources == ()
    assert found.clashes == (
        Clash("a", (tmp_path / "in" / "x" / "a.svs", tmp_path / "in" / "z" / "a.tif")),
        Clash("b", (tmp_path / "in" / "b.svs", tmp_path / "in" / "x" / "b.svs")),
    )
    assert names(discover([tmp_path / "in" / "x", tmp_path / "in" / "y"])) == ["a.svs", "b.svs"]


def test_nothing_found_names_the_folder_the_suffixes_and_the_cure(tmp_path):
    touch(tmp_path, "notes.txt", "sub/a.svs")
    with pytest.raises(NoSlides) as caught:
        discover([tmp_path])
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}: no slide found, with none of the suffixes .svs .tif")
    assert message.endswith("(--recursive)")


def test_empty_folder_beside_a_slide_is_no_error(tmp_path):
    touch(tmp_path, "full/a.svs", "empty/notes.txt")
    assert names(discover([tmp_path / "empty", tmp_path / "full"])) == ["a.svs"]


def test_missing_path_is_named(tmp_path):
    with pytest.raises(NoSlides, match=r"none: no such file or folder"):
        discover([tmp_path / "none"])


def test_folder_that_cannot_be_listed_is_named_and_the_others_are_searched(tmp_path, locked):
    touch(tmp_path, "a.svs")
    found = discover([tmp_path], recursive=True)
    assert names(found) == ["a.svs"]
    why = f"{locked}: cannot be listed (Permission denied); allow reading it, or move it away"
    assert found.left_out == found.unseen == (LeftOut(locked, why, True),)


def test_nothing_but_a_folder_that_cannot_be_listed_is_an_error_of_its_own(tmp_path, locked):
    with pytest.raises(UnseenSlides, match=r"locked: cannot be listed \(Permission denied\)"):
        discover([tmp_path], recursive=True)


def test_links_that_lead_nowhere_or_to_themselves_are_named(tmp_path):
    """Links that lead nowhere or to themselves are named and the others are taken."""
    touch(tmp_path, "a.svs")
    (tmp_path / "gone.svs").symlink_to(tmp_path / "nothing.svs")
    (tmp_path / "ring.svs").symlink_to(tmp_path / "ring.svs")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing.txt")
    found = discover([tmp_path])
    assert names(found) == ["a.svs"]
    assert [left.path.name for left in found.left_out] == ["gone.svs", "ring.svs"]
    assert found.left_out[0].why.startswith(f"{tmp_path / 'gone.svs'} is a link that leads to nothing;")
    assert found.unseen == ()


def test_a_linked_folder_is_searched_once_and_its_slides_are_named_by_the_first_way(tmp_path):
    touch(tmp_path, "real/a.svs")
    (tmp_path / "again").symlink_to(tmp_path / "real")
    assert names(discover([tmp_path], recursive=True)) == ["a.svs"]


@pytest.fixture
def locked(tmp_path):
    """A folder that must not be listed."""
    touch(tmp_path, "locked/b.svs")
    folder = tmp_path / "locked"
    folder.chmod(0)
    try:
        if list_works(folder):
            pytest.skip("this user may list every folder")
        yield folder
    finally:
        folder.chmod(0o700)


def test_a_folder_that_fails_while_it_is_listed_is_named_whoever_asks(tmp_path, monkeypatch):
    touch(tmp_path, "a.svs", "sub/b.svs")
    real = os.scandir

    def scandir(path):
        if Path(path).name == "sub":
            raise OSError(5, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = discover([tmp_path], recursive=True)
    assert names(found) == ["a.svs"]
    assert [left.path for left in found.unseen] == [tmp_path / "sub"]
    with pytest.raises(UnseenSlides, match="Input/output error"):
        discover([tmp_path / "sub"])


def list_works(folder: Path) -> bool:
    try:
        return bool(list(folder.iterdir()))
    except PermissionError:
        return False


def listed(tmp_path: Path, text: str, *folders: str, **slides: object) -> Discovery:
    (tmp_path / "list.csv").write_bytes(text.encode())
    places = [tmp_path / folder for folder in folders or ("in",)]
    values = {"folders": places, "slide_list": tmp_path / "list.csv", **slides}
    return find_slides(make_project({"output": tmp_path / "out", "slides": values}, origin="test"))


def test_a_list_names_the_slides_to_take_with_their_mpp(tmp_path):
    touch(tmp_path / "in", "a.svs", "sub/b.odd", "c.svs", "d e.svs")
    found = listed(tmp_path, '\ufeffwsi;mpp\r\na.svs;0,25\r\n"sub\\b.odd";\r\n\r\nd e.svs;\r\n')
    assert found.sources == (
        SlideSource("a", tmp_path / "in" / "a.svs", 0.25, "slide list"),
        SlideSource("d e", tmp_path / "in" / "d e.svs"),
        SlideSource("b", tmp_path / "in" / "sub" / "b.odd"),
    )
    assert found.left_out == ()


def test_the_mpp_of_a_list_wins_over_that_of_the_table(tmp_path):
    touch(tmp_path / "in", "a.svs", "b.svs")
    (tmp_path / "mpp.csv").write_text("wsi,mpp\na.svs,0.5\nb.svs,0.6\n")
    found = listed(tmp_path, "wsi,mpp\na.svs,0.25\nb.svs,\n", mpp_csv=tmp_path / "mpp.csv")
    assert [(source.mpp, source.mpp_source) for source in found.sources] == [(0.25, "slide list"), (0.6, "mpp csv")]


def test_a_list_may_name_slides_of_several_folders_and_folders_that_are_slides(tmp_path):
    touch(tmp_path, "one/a.svs", "two/b.svs", "two/z.zarr/0")
    found = listed(tmp_path, "wsi\na.svs\nb.svs\nz.zarr\n", "one", "two")
    assert [source.stem for source in found.sources] == ["a", "b", "z"]


def test_listed_slides_that_are_not_there_are_named_with_their_line(tmp_path):
    """Listed slides that are not there are named with their line and the others are taken."""
    touch(tmp_path / "in", "a.svs")
    found = listed(tmp_path, "wsi\nx.svs\na.svs\nsub/y.svs\n")
    assert names(found) == ["a.svs"]
    assert [left.why for left in found.left_out] == [
        f"{tmp_path / 'list.csv'}, line {line}: there is no {name} in {tmp_path / 'in'}; correct the path, or put the "
        "slide there"
        for line, name in ((4, "sub/y.svs"), (2, "x.svs"))
    ]
    with pytest.raises(NoSlides, match=r"none of its slides is there; .*line 2: there is no x\.svs"):
        listed(tmp_path, "wsi\nx.svs\n")


def test_a_slide_that_is_listed_twice_is_taken_once_with_a_note(tmp_path):
    touch(tmp_path / "in", "a.svs")
    (source,) = listed(tmp_path, "wsi\na.svs\na.svs\n").sources
    assert source.path.name == "a.svs"
    assert source.notes == (f"{tmp_path / 'list.csv'}, line 3: a.svs stands in line 2, too; it is taken once",)


@pytest.mark.parametrize("other", ["{folder}/a.svs", "./a.svs", "../in/a.svs", "link/a.svs", "to/a.svs"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_slide_that_is_listed_by_two_paths_is_taken_once_with_a_note(tmp_path, other, turned):
    touch(tmp_path / "in", "a.svs", "b.svs")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "to").mkdir()
    (tmp_path / "in" / "to" / "a.svs").symlink_to(tmp_path / "in" / "a.svs")
    lines = ["a.svs", other.format(folder=tmp_path / "in")]
    first, second = reversed(lines) if turned else lines

    found = listed(tmp_path, f"wsi,mpp\n{first},0.25\nb.svs,0.5\n{second},0.25\n")

    assert [(source.stem, source.mpp) for source in found.sources] == [("a", 0.25), ("b", 0.5)]
    assert found.clashes == ()
    (note,) = found.sources[0].notes
    assert note.endswith(f"line 4: {second} stands in line 2, too, as {first}; it is taken once")
    with pytest.raises(InvalidProject, match=r"line 4: .*a\.svs has two mpp, 0\.25 in line 2, 0\.5 here"):
        listed(tmp_path, f"wsi,mpp\n{first},0.25\nb.svs,0.5\n{second},0.5\n")


def test_of_the_paths_of_a_listed_slide_the_straight_one_is_taken(tmp_path):
    touch(tmp_path / "in", "a.svs", "sub/b.svs")
    found = listed(tmp_path, "wsi\n../in/a.svs\na.svs\n")
    assert [source.path for source in found.sources] == [tmp_path / "in" / "a.svs"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("slide\na.svs\n", "the column wsi is missing, there are slide; name it in line 1"),
        ("", "the column wsi is missing, there are none; name it in line 1"),
        ("wsi\n", "no row under wsi"),
        ("wsi,mpp\na.svs,0.5\n,0.5\n", "line 3: wsi is empty"),
        ("wsi,mpp\na.svs,20x\n", "line 2: mpp is '20x'"),
        ("wsi,mpp\na.svs,0.5\na.svs,0.25\n", "line 3: a.svs has two mpp, 0.5 in line 2, 0.25 here"),
    ],
)
def test_a_bad_list_is_refused_naming_file_line_and_value(tmp_path, text, reason):
    touch(tmp_path / "in", "a.svs")
    with pytest.raises(InvalidProject) as caught:
        listed(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "list.csv"))
    assert reason in str(caught.value)

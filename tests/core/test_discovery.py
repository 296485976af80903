"""Finding slides."""

from pathlib import Path

import pytest

from atlaspatch_core.discovery import Clash, Discovery, SlideSource, discover
from atlaspatch_core.errors import NoSlides


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(found: Discovery) -> list[str]:
    return [source.path.name for source in found.sources]


def test_folder_gives_its_slides_by_path_whatever_the_case_of_the_suffix(tmp_path):
    touch(tmp_path, "c.SVS", "a.Tiff", "b.ome.tif", "d.png", "notes.txt", ".hidden.svs", "sub/e.svs")
    assert names(discover([tmp_path])) == ["a.Tiff", "b.ome.tif", "c.SVS", "d.png"]


def test_folders_below_are_searched_only_when_recursive(tmp_path):
    touch(tmp_path, "a.svs", "sub/deep/b.svs", ".hidden/c.svs")
    assert names(discover([tmp_path])) == ["a.svs"]
    assert names(discover([tmp_path], recursive=True)) == ["a.svs", "b.svs"]


def test_data_of_multi_file_slides_are_no_slides(tmp_path):
    touch(tmp_path, "m.mrxs", "m/Data0000.png", "v.vms", "v(0,1).jpg", "v-map2.jpg", "other.jpg", "z.ome.zarr/0/0.png")
    assert names(discover([tmp_path], recursive=True)) == ["m.mrxs", "other.jpg", "v.vms"]


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
    assert discover([tmp_path], mpp_by_stem={"a": 0.25, "c": 1.0}).sources == (
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


def test_folder_that_cannot_be_listed_is_named(tmp_path):
    touch(tmp_path, "locked/a.svs")
    locked = tmp_path / "locked"
    locked.chmod(0)
    try:
        if list_works(locked):
            pytest.skip("this user may list every folder")
        with pytest.raises(NoSlides, match=r"locked: cannot be listed \(Permission denied\)"):
            discover([tmp_path], recursive=True)
    finally:
        locked.chmod(0o700)


def list_works(folder: Path) -> bool:
    try:
        return bool(list(folder.iterdir()))
    except PermissionError:
        return False

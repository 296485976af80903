"""Which files a slide consists of."""

import os
import time
from pathlib import Path

import pytest
from dicom_heads import dicom_head

from atlaspatch_core.slides.content_hash import content_fingerprint, file_signature
from atlaspatch_core.slides.dicom_files import instances, is_series_folder, series_of, slides_among
from atlaspatch_core.slides.files import slide_files

pytestmark = pytest.mark.quick

INDEX = """[Virtual Microscope Specimen]\r
NoLayers=1\r
NoJpegColumns=2\r
ImageFile=v.jpg\r
ImageFile(1,0)=v(1,0).jpg\r
MapFile=odd name.jpg\r
OptimisationFile=v.opt\r
PhysicalWidth=1.5\r
"""


def write(folder: Path, *names: str, content: bytes = b"x") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def names(path: Path) -> list[str]:
    return [str(file.relative_to(path.parent)) for file in slide_files(path)]


def test_a_plain_slide_is_its_file(tmp_path):
    write(tmp_path, "a.svs", "a.mrxs.txt", "a/b.dat")
    assert names(tmp_path / "a.svs") == ["a.svs"]


def test_a_mirax_slide_has_all_that_is_below_its_folder(tmp_path):
    write(tmp_path, "m.mrxs", "m/Slidedat.ini", "m/deep/Data.dat", "m2/Data.dat")
    assert names(tmp_path / "m.mrxs") == ["m.mrxs", "m/Slidedat.ini", "m/deep/Data.dat"]


def test_a_hamamatsu_slide_has_the_files_that_its_index_names_and_no_others(tmp_path):
    write(tmp_path, "v.jpg", "v(1,0).jpg", "odd name.jpg", "v.opt", "v2.jpg", "v_macro.jpg", "other.jpg", "v.svs")
    write(tmp_path, "v.vms", content=INDEX.encode())
    assert names(tmp_path / "v.vms") == ["v.vms", "odd name.jpg", "v(1,0).jpg", "v.jpg", "v.opt", "v_macro.jpg"]


def test_a_stem_with_brackets_is_no_pattern(tmp_path):
    write(tmp_path, "a[1].vms", "a[1](1,0).jpg", "a1(1,0).jpg")
    assert names(tmp_path / "a[1].vms") == ["a[1].vms", "a[1](1,0).jpg"]


def test_a_zarr_store_has_every_file_below_it(tmp_path):
    write(tmp_path, "z.zarr/.zgroup", "z.zarr/0/.zarray", "z.zarr/0/0/0")
    assert names(tmp_path / "z.zarr") == ["z.zarr/.zgroup", "z.zarr/0/.zarray", "z.zarr/0/0/0"]


@pytest.mark.parametrize("implicit", [False, True])
def test_the_series_of_a_dicom_file_is_read_from_its_head(tmp_path, implicit):
    assert series_of(dicom_head(tmp_path / "a.dcm", "1.2.3", implicit=implicit)) == "1.2.3"
    assert series_of(write(tmp_path, "b.dcm") / "b.dcm") == ""
    assert series_of(tmp_path / "none.dcm") == ""


def test_a_dicom_slide_has_the_instances_of_its_series(tmp_path):
    for name, series in (("a", "1.1"), ("b", "1.2"), ("c", "1.1")):
        dicom_head(tmp_path / f"{name}.dcm", series)
    write(tmp_path, "damaged.dcm", "notes.txt")
    assert names(tmp_path / "c.dcm") == ["c.dcm", "a.dcm"]
    assert names(tmp_path / "b.dcm") == ["b.dcm"]
    assert slides_among(tmp_path, ["c.dcm", "b.dcm", "a.dcm", "damaged.dcm"]) == (
        ("a.dcm", "c.dcm"), ("b.dcm",), ("damaged.dcm",),
    )  # fmt: skip
    assert not is_series_folder(tmp_path)


def test_an_instance_that_is_still_empty_belongs_to_the_series_that_comes_in(tmp_path):
    first, second = dicom_head(tmp_path / "s" / "1.dcm", "1.1"), tmp_path / "s" / "2.dcm"
    second.touch()
    assert instances(tmp_path / "s") == (first, second)
    assert is_series_folder(tmp_path / "s")
    dicom_head(second, "1.2")
    assert not is_series_folder(tmp_path / "s")


def test_a_folder_of_dicom_instances_has_these_files(tmp_path):
    dicom_head(tmp_path / "s" / "1.dcm", "1.1"), dicom_head(tmp_path / "s" / "2.dcm", "1.1")
    write(tmp_path, "s/notes.txt")
    assert names(tmp_path / "s") == ["s/1.dcm", "s/2.dcm"]


def test_real_dicom_slides_are_one_series_each(shared_slides):
    for name in ("CMU-1-Small-Region", "CMU-1-Small-Region-J2K"):
        folder = shared_slides / "wsic" / name
        assert is_series_folder(folder)
        assert len(instances(folder)) == 3


def chunked(folder: Path, count: int = 500) -> Path:
    write(folder / "z.zarr", ".zgroup", *(f"0/{number // 20}/{number % 20}" for number in range(count)))
    return folder / "z.zarr"


def test_a_store_of_many_chunks_is_sampled_and_knows_a_changed_one(tmp_path):
    """A store of many chunks is sampled and knows a missing longer or renamed one."""
    store = chunked(tmp_path)
    before = content_fingerprint(store)
    chunk = store / "0" / "7" / "3"
    chunk.write_bytes(b"longer")
    longer = content_fingerprint(store)
    chunk.rename(store / "0" / "7" / "33")
    renamed = content_fingerprint(store)
    (store / "0" / "7" / "33").unlink()
    assert len({before, longer, renamed, content_fingerprint(store)}) == 4


def test_a_store_whose_description_changed_has_another_content(tmp_path):
    store = chunked(tmp_path)
    before = content_fingerprint(store)
    (store / ".zgroup").write_bytes(b"y")
    assert content_fingerprint(store) != before


def test_full_hash_sees_every_chunk(tmp_path):
    store = chunked(tmp_path)
    sampled, full = content_fingerprint(store), content_fingerprint(store, full_hash=True)
    changed = [store / "0" / str(row) / str(column) for row in range(25) for column in range(20)]
    for chunk in changed[1::2]:
        chunk.write_bytes(b"y")
        assert content_fingerprint(store, full_hash=True) != full
        if content_fingerprint(store) == sampled:
            return
    raise AssertionError("every chunk was sampled")


def test_the_signature_of_a_store_tells_chunks_of_one_name_apart(tmp_path):
    store = write(tmp_path / "z.zarr", "0/0", "1/0")
    before = file_signature(store)
    long_ago = time.time() - 1000
    os.utime(store / "1" / "0", (long_ago, long_ago))
    assert file_signature(store) != before

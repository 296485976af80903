"""What is kept is whole: copied, completed, renamed; and one result never costs another."""

import os
import threading

import h5py
import numpy as np
import pytest
from kept_results import COORDS_A, COORDS_B, all_values, identity, keep_coords, keep_features, temporaries

from atlaspatch_core.errors import OutOfDate, UnreadableOutput, UnwritableOutput
from atlaspatch_core.storage.atomic import replacing, slide_lock
from atlaspatch_core.storage.hdf5 import read_array, read_stored_results
from atlaspatch_core.storage.hdf5_changes import coord_passports
from atlaspatch_core.storage.records import MaskRecord
from atlaspatch_core.storage.schema import COORDS
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.rules import is_automatic

pytestmark = pytest.mark.quick


def test_adding_an_encoder_leaves_the_other_bytes_alone(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    keep_features(store, "one", 1.0)
    before = all_values(store.h5("a"))
    keep_features(store, "two", 2.0)
    after = all_values(store.h5("a"))
    assert after.pop("features/two") == np.full((3, 4), 2.0).tolist()
    assert after == before


def test_every_dataset_says_what_it_was_made_of(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    kept = store.stored_results("a")
    assert kept[COORDS].identity == COORDS_A
    with h5py.File(store.h5("a")) as file:
        assert file[COORDS].attrs["fingerprint"] == COORDS_A.fingerprint


def test_replacing_a_dataset_leaves_no_dead_space(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    keep_features(store, "one", 1.0)
    size = store.h5("a").stat().st_size
    for value in (2.0, 3.0, 4.0):
        keep_features(store, "one", value)
    assert read_array(store.h5("a"), "features/one").tolist() == np.full((3, 4), 4.0).tolist()
    assert store.h5("a").stat().st_size <= size


def test_the_same_coords_laid_again_keep_their_features(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    keep_features(store, "one", 1.0)
    keep_coords(store, COORDS_A)
    assert "features/one" in store.stored_results("a")


def test_other_coords_drop_features_whose_rows_no_longer_match(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    keep_features(store, "one", 1.0)
    keep_coords(store, COORDS_B)
    assert set(store.stored_results("a")) == {COORDS}


def test_features_of_coords_that_were_replaced_meanwhile_are_refused(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_B)
    with pytest.raises(OutOfDate, match="changed while"):
        keep_features(store, "one", 1.0, coords=COORDS_A)


def test_a_file_of_another_tool_is_never_taken_for_ours(tmp_path):
    store = Store(tmp_path)
    store.h5("a").parent.mkdir(parents=True)
    with h5py.File(store.h5("a"), "w") as file:
        file["coords"] = np.zeros((3, 5), np.int32)
    with pytest.raises(UnreadableOutput, match="not written by atlaspatch"):
        store.stored_results("a")


def test_what_lies_strangely_in_a_file_is_none_of_its_results(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["coords"] = np.zeros((3, 2), np.int32)
        file["coords"].attrs["fingerprint"] = np.bytes_("0123")
        file["features"] = np.zeros((3, 4))
        file.create_group("slide_features/folder/below")
        file["slide_features/größe"] = np.zeros(4)

    found = read_stored_results(path)

    assert {name: (it.fingerprint, it.shape) for name, it in found.items()} == {
        "coords": ("0123", (3, 2)),
        "slide_features/größe": (None, (4,)),
    }


def test_a_truncated_file_is_named_with_its_cure(tmp_path):
    store = Store(tmp_path)
    store.h5("a").parent.mkdir(parents=True)
    store.h5("a").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(UnreadableOutput, match="--force"):
        store.stored_results("a")


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_bytes(bytes(1 // 0))
    assert path.read_bytes() == b"old"
    assert temporaries(tmp_path) == []


def test_an_output_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UnwritableOutput, match="cannot be made"):
        Store(tmp_path / "out").write_file("a", tmp_path / "out" / "x.jpg", b"")


def test_two_threads_that_add_different_encoders_both_land(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    names = [f"encoder{number}" for number in range(8)]
    threads = [threading.Thread(target=keep_features, args=(store, name, 1.0)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"features/{name}" for name in names} <= set(store.stored_results("a"))


def test_sweeping_leaves_the_temporary_file_of_a_live_writer(tmp_path):
    store = Store(tmp_path)
    keep_coords(store, COORDS_A)
    live = store.h5("a").with_name(f".a.{'0' * 32}.tmp")
    live.write_bytes(b"")
    with slide_lock(tmp_path, "a"):
        assert store.remove_half_written([]) == 0
    assert store.remove_half_written([]) == 1
    assert not live.exists()


def test_a_kill_between_record_and_polygons_does_not_look_like_a_persons_edit(tmp_path):
    store = Store(tmp_path)
    store.write_mask("a", b"old", MaskRecord(identity("tissue_mask"), "1" * 16, {}))
    store.write_mask("a", b"new", MaskRecord(identity("tissue_mask", closing=2), "2" * 16, {}))
    record = store.read_record("a").tissue_mask
    assert record is not None
    assert is_automatic(record, "1" * 16)
    assert is_automatic(record, "2" * 16)
    assert not is_automatic(record, "3" * 16)


def test_a_damaged_record_is_named(tmp_path):
    store = Store(tmp_path)
    store.record("a").parent.mkdir()
    store.record("a").write_text('{"slide": {')
    with pytest.raises(UnreadableOutput, match="delete it"):
        store.read_record("a")


def test_passports_keep_long_and_non_ascii_names_whole():
    coords = np.array([[512, 1024, 256, 256, 0]], np.int32)
    assert coord_passports("a", coords, 40, 20).tolist() == [b"a__x512_y1024_rw256_rh256_lv0_mag40_tmag20_total1"]
    name = "ü" * 120
    assert coord_passports(name, coords, 40, 20)[0].decode().startswith(f"{name}__x512")


def test_the_time_of_a_mask_is_remembered_as_the_storage_keeps_it(tmp_path, monkeypatch):
    real = os.utime
    monkeypatch.setattr(os, "utime", lambda path, ns: real(path, ns=tuple(time // 10**9 * 10**9 for time in ns)))
    store = Store(tmp_path)

    store.write_mask("a", b"{}", MaskRecord(identity("tissue_mask"), "1" * 16, {}))

    record = store.read_record("a").tissue_mask
    assert record is not None
    assert record.mtime_ns == store.geojson("a").stat().st_mtime_ns

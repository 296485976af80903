"""Identities: equal for equal decisions, and they say what changed."""

import json
from pathlib import Path

import pytest

from atlaspatch_core.fingerprint import Identity, why_stale
from atlaspatch_core.slides.content_hash import content_fingerprint, file_signature

pytestmark = pytest.mark.quick


def coords(**changes):
    fields = {"step": "patch_coords", "version": 1, "spec": {"patch_size": 256, "mpp": 0.499}, "inputs": {"slide": "a"}}
    return Identity(**(fields | changes))


def test_order_of_spec_fields_does_not_change_the_fingerprint():
    assert coords(spec={"mpp": 0.499, "patch_size": 256}).fingerprint == coords().fingerprint


def test_fingerprint_is_16_hex_digits_and_stable_across_releases():
    assert coords().fingerprint == "5227efa1b2f03568"


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"spec": {"patch_size": 256}}, {"inputs": {"slide": "b"}}, {"step": "tissue_mask"}]
)
def test_every_part_changes_the_fingerprint(change):
    assert coords(**change).fingerprint != coords().fingerprint


def test_why_stale_names_the_field_with_both_values():
    assert why_stale(coords(), coords(spec={"patch_size": 256, "mpp": 0.25})) == "mpp 0.499 → 0.25"


def test_why_stale_names_a_changed_input_when_nothing_else_changed():
    assert why_stale(coords(), coords(inputs={"slide": "b"})) == "upstream changed: slide"


def test_why_stale_is_empty_for_a_valid_output_and_says_missing_for_none():
    assert why_stale(coords(), coords()) == ""
    assert why_stale(None, coords()) == "missing"


def test_identity_survives_json():
    assert Identity.from_dict(coords().as_dict()) == coords()


def test_an_identity_made_with_tuples_equals_the_one_read_back():
    made = coords(spec={"mean": (0.5, 0.5)})
    assert Identity.from_dict(json.loads(json.dumps(made.as_dict()))) == made


def big_file(path: Path, *, changed_byte: int | None = None) -> Path:
    content = bytearray(3_000_000)
    if changed_byte is not None:
        content[changed_byte] = 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("changed_byte", [0, 65_535, 2_999_999])
def test_content_changes_at_head_and_tail_are_seen(tmp_path, changed_byte):
    before = content_fingerprint(big_file(tmp_path / "a.svs"))
    assert content_fingerprint(big_file(tmp_path / "b.svs", changed_byte=changed_byte)) != before


def test_full_hash_sees_every_byte_and_the_name_does_not_matter(tmp_path):
    one, other = big_file(tmp_path / "a.svs"), big_file(tmp_path / "b.svs")
    changed = big_file(tmp_path / "c.svs", changed_byte=99_999)
    assert content_fingerprint(one, full_hash=True) == content_fingerprint(other, full_hash=True)
    assert content_fingerprint(one, full_hash=True) != content_fingerprint(changed, full_hash=True)


def test_a_changed_data_file_of_a_mirax_slide_changes_its_content(tmp_path):
    slide, data = tmp_path / "a.mrxs", tmp_path / "a" / "Data0001.dat"
    data.parent.mkdir()
    slide.write_bytes(b"head")
    data.write_bytes(b"one")
    before = content_fingerprint(slide), file_signature(slide)
    data.write_bytes(b"two!")
    assert content_fingerprint(slide) != before[0]
    assert file_signature(slide) != before[1]

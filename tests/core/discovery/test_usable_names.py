"""Names that results cannot carry are left out with a sentence, and stop no other slide."""

import os
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rounds import examples

from atlaspatch_core.discovery.find import discover
from atlaspatch_core.discovery.usable_names import LONGEST_STEM, has_controls
from atlaspatch_core.errors import InvalidManifest, NoSlides
from atlaspatch_core.pipeline.patients.manifest import read_manifest

pytestmark = pytest.mark.quick

NAMES = st.one_of(st.binary(min_size=1, max_size=12), st.text("aé日", min_size=60, max_size=80).map(str.encode)).filter(
    lambda name: not {0, 47, 46, 92} & set(name)
)


def is_usable(name: bytes) -> bool:
    try:
        text = name.decode()
        return len(name) <= LONGEST_STEM and not {unicodedata.category(sign) for sign in text} & {"Cc", "Zl", "Zp"}
    except UnicodeDecodeError:
        return False


@examples(60)
@given(st.sets(NAMES, max_size=5))
@example({b"two\nlines", b"red\x1b[31m", b"tab\t", b"cr\r", b"nel\xc2\x85", b"ls\xe2\x80\xa8"})
@example({b"m\xfcller", b"x" * 225, b"x" * 200, "日".encode() * 70})
def test_exactly_the_names_that_results_can_carry_are_found_and_the_others_told(stems):
    stems = {*stems, b"good"}
    with tempfile.TemporaryDirectory() as folder:
        for stem in stems:
            Path(os.fsdecode(os.fsencode(folder) + b"/" + stem + b".svs")).touch()
        found = discover([Path(folder)])
        clashing = {stem for clash in found.clashes for stem in [clash.stem.encode()]}
        assert {source.stem.encode() for source in found.sources} | clashing == set(filter(is_usable, stems))
        assert len(found.left_out) == len(stems) - sum(map(is_usable, stems))
        for left in found.left_out:
            assert left.why.encode()
            assert not has_controls(left.why)
            assert not has_controls(str(left.path))
            assert str(left.path).encode()
            assert f"{LONGEST_STEM}" in left.why


def test_a_name_is_shown_such_that_it_can_be_found_again(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xfcller.svs")).touch()
    with pytest.raises(NoSlides) as told:
        discover([tmp_path])
    assert f"{tmp_path}/m\\xfcller.svs: its path is not UTF-8" in str(told.value)


def test_a_table_of_cases_says_which_line_has_a_name_that_is_too_long(tmp_path):
    (tmp_path / f"{'x' * 201}.svs").touch()
    (tmp_path / "cases.csv").write_text(f"case_id,slide_path\nc,{'x' * 201}.svs\n")
    with pytest.raises(InvalidManifest, match=r"line 2: .*has 201 bytes before the suffix, more than 200; rename it"):
        read_manifest(tmp_path / "cases.csv")

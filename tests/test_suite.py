"""What holds for the tests themselves."""

import re
from pathlib import Path

import pytest
from paths import ROOT

TESTS = ROOT / "tests"
MODULES = sorted(TESTS.rglob("test_*.py"))
ROOMS = sorted({path.parent for path in MODULES} - {TESTS, TESTS / "e2e"})


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(TESTS)))
def test_the_inner_loop_has_tests_of_every_room(room: Path):
    assert any("pytest.mark.quick" in path.read_text() for path in room.glob("test_*.py"))


@pytest.mark.quick
def test_names_are_shorter_than_80_characters():
    names = [name for path in MODULES for name in re.findall(r"def (test_\w+)", path.read_text())]
    assert [name for name in names if len(name) >= 80] == []


@pytest.mark.quick
def test_no_test_module_imports_another():
    """What several modules use is in helpers."""
    imports = re.compile(r"^(?:from|import) test_", re.MULTILINE)
    assert [path.name for path in MODULES if imports.search(path.read_text())] == []

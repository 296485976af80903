"""Tutorials, and the pages of Python, do what they say.

Each is followed from its first block to its last, in the folder of the first of them.
"""

import shutil
from pathlib import Path

import pytest
from paths import ROOT
from shown_code import Reader, blocks

TUTORIALS = ROOT / "docs" / "tutorials"
FIRST = TUTORIALS / "first-cohort.md"
IN_PYTHON = [ROOT / "docs" / f"{name}.md" for name in ("python", "results", "extending")]
LATER = [*(page for page in sorted(TUTORIALS.glob("*.md")) if page != FIRST), *IN_PYTHON]


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """The folder that the first tutorial leaves."""
    folder = tmp_path_factory.mktemp("tutorial")
    Reader(folder).follow(FIRST)
    return folder


@pytest.mark.e2e
@pytest.mark.parametrize("page", LATER, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says(page: Path, first: Path, tmp_path: Path):
    shutil.copytree(first, tmp_path / "folder")
    Reader(tmp_path / "folder").follow(page)


@pytest.mark.quick
@pytest.mark.parametrize("page", [FIRST, *LATER], ids=lambda page: page.stem)
def test_blocks_of_a_tutorial_are_run_or_have_no_language(page: Path):
    assert {language for language, _ in blocks(page)} <= {"bash", "python", "text", "toml", ""}


@pytest.mark.quick
def test_what_a_page_says_is_printed_is_looked_for():
    page = ROOT / "docs" / "tutorials" / "first-cohort.md"
    shown = [text for language, text in blocks(page) if language == "text"]
    assert len(shown) >= 5

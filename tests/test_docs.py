"""What the documentation says of the code is so: rooms, paths, links and names."""

import re
import tomllib
from importlib import import_module
from itertools import chain, pairwise

import pytest
from paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
DEPLOYMENT = sorted(path for path in (ROOT / "deploy").iterdir() if path.is_file())
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FORMER = {"atlaspatch_core.export"}
"""Rooms that are another name of one below."""


def layers(package: str) -> list[str]:
    """Return the rooms of a package from the top, as import-linter holds them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [of_package] = [contract["layers"] for contract in contracts if contract.get("containers") == [package]]
    rooms = chain.from_iterable(re.split(r"\s*[|:]\s*", layer) for layer in of_package)
    return [room for room in rooms if f"{package}.{room}" not in FORMER]


@pytest.mark.parametrize("package", ["atlaspatch_core", "atlaspatch_assets"])
def test_the_diagram_shows_the_rooms_in_their_order(package):
    prefix = package.removeprefix("atlaspatch_")
    assert re.findall(rf'^ +{prefix}_\w+\["(\w+):', ARCHITECTURE, re.MULTILINE) == layers(package)
    arrows = [line.split() for line in re.findall(rf"^ +({prefix}_\w+ -->.*)$", ARCHITECTURE, re.MULTILINE)]
    steps = [step for nodes in arrows for step in pairwise(nodes[::2])]
    assert steps == list(pairwise(f"{prefix}_{room}" for room in layers(package)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    paths = re.findall(r"`((?:atlaspatch_\w+|tests|docs|defs|lib|steps)/[\w./]+)`", page.read_text(encoding="utf-8"))
    homes = (ROOT, ROOT / "atlaspatch_assets", ROOT / "atlaspatch_core" / "pipeline")
    assert [path for path in paths if not any((home / path).exists() for home in homes)] == []


NAMING = [page for page in (*PAGES, *DEPLOYMENT) if page.name != "CHANGELOG.md"]


@pytest.mark.parametrize("page", NAMING, ids=lambda page: page.name)
def test_modules_that_a_page_names_can_be_imported(page):
    for name in re.findall(r"\batlaspatch_(?:core|assets)(?:\.\w+)+", page.read_text(encoding="utf-8")):
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute) or import_module(name), name

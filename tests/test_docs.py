"""What the documentation says of the code is so: rooms, paths, links and names."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from itertools import chain, pairwise
from pathlib import Path

import click
import pytest
import yaml
from paths import ROOT

from atlaspatch_assets.cli.main import cli
from atlaspatch_core.config.fields import TABLES
from atlaspatch_core.option import fields_of

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
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


COMMAND = re.compile(r"(?:\S*/)?atlaspatch ([a-z][a-z-]*)(?![\w=:.])([^#|]*)")
OPTION_OF_PROJECT = re.compile(r"`\[(\w+)\] (\w+)`")


def shown_code(page: Path) -> Iterator[str]:
    """Yield the lines of code that a page or a file of the deployment shows."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".md":
        yield from (line.partition("=")[2] for line in text.splitlines() if line.startswith("ExecStart="))
        return
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    yield from chain.from_iterable(block.splitlines() for block in blocks)
    yield from re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", NAMING, ids=lambda page: page.name)
def test_commands_that_a_page_shows_are_there_with_their_options(page: Path):
    wrong = []
    for name, rest in (match.groups() for line in shown_code(page) if (match := COMMAND.match(line.strip()))):
        command, first_word = cli.commands.get(name), rest.split()[0] if rest.split() else ""
        command = command.commands.get(first_word, command) if isinstance(command, click.Group) else command
        parameters = command.params if command else []
        options = {"--help", *chain.from_iterable((*it.opts, *it.secondary_opts) for it in parameters)}
        words = rest.replace("_", "-").split() if name == "run" else rest.split()
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        wrong += [name] if name not in cli.commands else [f"{name} {option}" for option in sorted(used - options)]
    assert wrong == []


@pytest.mark.parametrize("page", NAMING, ids=lambda page: page.name)
def test_options_of_a_project_that_a_page_names_are_there(page: Path):
    options = {(table.name, field.name) for table in TABLES for field in fields_of(table.fields)}
    named = OPTION_OF_PROJECT.findall(page.read_text(encoding="utf-8"))
    assert [name for name in named if name not in options] == []


def test_every_page_stands_in_the_navigation_of_the_site():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")}
    assert (
        sorted(page for page in pages if not re.search(rf"^ +- (\w+: )?{re.escape(page)}$", settings, re.MULTILINE))
        == []
    )


def test_the_citation_is_whole_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["authors"] == project["authors"]


OF_THE_CODE = ("docs/architecture.md", "CONTRIBUTING.md")
"""Pages that name what the code consists of."""
NAME = re.compile(r"((?:\w+\.)*[A-Za-z_]\w*)(?:\((.*)\))?")
"""A name, perhaps dotted, perhaps called."""
FOREIGN_NAMES = {"dg.Definitions", "dg.materialize", "_level0"}
"""Dagster's, and the end of many names."""


def defined_names(tree: ast.AST, module: str) -> Iterator[str]:
    """Yield what a module defines, parameters, fields and words included, each behind the names that it stands in."""
    waiting = [(tree, module)]
    while waiting:
        node, around = waiting.pop()
        for child in ast.iter_child_nodes(node):
            inside = around
            match child:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    inside = f"{around}.{name}"
                    yield inside
                case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Constant(value=str(name)):
                    yield f"{around}.{name}"
                case ast.alias(name=name) if around.endswith("__init__"):
                    yield f"{around.removesuffix('__init__')}{name}"
            waiting.append((child, inside))


@pytest.fixture(scope="module")
def names_of_the_code() -> set[str]:
    """Every defined name with each length of the names around it: `open`, `Reader.open`, `reader.Reader.open`."""
    names: set[str] = set()
    bases: set[tuple[str, str]] = set()
    roots = [ROOT / "atlaspatch_core", ROOT / "atlaspatch_assets", ROOT / "tests"]
    for path in chain.from_iterable(root.rglob(pattern) for root in roots for pattern in ("*.py", "*.pyi")):
        tree, module = ast.parse(path.read_text()), ".".join(path.relative_to(ROOT).with_suffix("").parts)
        classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
        bases |= {(node.name, base.id) for node in classes for base in node.bases if isinstance(base, ast.Name)}
        for name in [module, *defined_names(tree, module)]:
            parts = name.replace(".__init__", "").split(".")
            names.update(".".join(parts[start:]) for start in range(len(parts)))
    members = [name.split(".") for name in names if name.count(".") == 1]
    return names | {f"{heir}.{name}" for owner, name in members for heir, base in bases if base == owner}


@pytest.mark.parametrize("page", OF_THE_CODE)
def test_names_of_the_code_that_a_page_gives_are_there(page: str, names_of_the_code: set[str]):
    missing = []
    for code in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text(encoding="utf-8")):
        name, arguments = match.groups() if (match := NAME.fullmatch(code)) else ("", None)
        name = name.removesuffix(".py")
        if not name or name in FOREIGN_NAMES or Path(name).suffix in {".md", ".toml", ".pyi"}:
            continue
        keywords = re.findall(r"(\w+)=", arguments or "") if name.rpartition(".")[2][0].isupper() else []
        missing += [full for full in (name, *(f"{name}.{word}" for word in keywords)) if full not in names_of_the_code]
    assert missing == []

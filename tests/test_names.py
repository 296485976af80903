"""A name says what it names: no class has the name of another, functions do something to something."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import atlaspatch_assets
import atlaspatch_core


def test_no_class_name_stands_in_two_modules():
    modules = defaultdict[str, set[str]](set)
    for package in (atlaspatch_core, atlaspatch_assets):
        for path in Path(package.__path__[0]).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    modules[node.name].add(str(path))
    assert {name: sorted(paths) for name, paths in modules.items() if len(paths) > 1} == {}


BARE_VERBS = frozenset({"go", "judge", "keep", "lay", "look", "sweep", "take", "tell"})
FILE_API = {"disk.py": "tell", "remote_tiff.py": "tell"}
"""Names that Python gives to methods of files."""
NO_NOUNS = frozenset(
    {
        "asked", "found", "given", "it", "judged", "kept", "known", "laid", "left", "looked", "lying", "made", "said",
        "settled", "taken", "told", "wanted",
    }
)  # fmt: skip
EDGES = frozenset({"bottom", "right", "top"})
"""Beside these, ``left`` is an edge."""
CORE = Path(atlaspatch_core.__path__[0])
ROOMS = sorted(
    path.name
    for path in CORE.iterdir()
    if (path.suffix == ".py" and path.name != "__init__.py") or (path / "__init__.py").is_file()
)


def names_bound(tree: ast.AST):
    """Yield line and name of every variable, parameter and attribute that is given a value."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.MatchAs) and node.name:
            yield node.lineno, node.name


def wrong_names(place: Path):
    paths = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert paths
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        bare = BARE_VERBS - {FILE_API.get(path.name)}
        yield from (f"{path}:{node.lineno} {node.name}()" for node in functions if node.name.lstrip("_") in bare)
        names = list(names_bound(tree))
        wrong = NO_NOUNS - {"left"} if EDGES & {name for _, name in names} else NO_NOUNS
        yield from (f"{path}:{line} {name}" for line, name in names if name.lstrip("_") in wrong)


@pytest.mark.parametrize("room", ROOMS)
def test_functions_have_an_object_and_variables_are_nouns(room: str):
    assert list(wrong_names(CORE / room)) == []


def test_the_assets_name_functions_and_variables_so_in_every_room():
    assert list(wrong_names(Path(atlaspatch_assets.__path__[0]))) == []

"""A name says what it names: no class has the name of another."""

import ast
from collections import defaultdict
from pathlib import Path

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

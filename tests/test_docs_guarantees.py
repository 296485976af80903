"""Every promise of ``docs/guarantees.md`` names tests, and each of them is there and is run."""

import ast
import re
from typing import TypeGuard

import pytest
from paths import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| **")]
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE)))


@pytest.mark.quick
def test_every_promise_names_a_test():
    assert len(ROWS) >= 7
    assert [row.split("**")[1] for row in ROWS if not re.search(r"`tests/[\w/]+\.py::test_\w+`", row)] == []


@pytest.mark.quick
@pytest.mark.parametrize("name", TESTS)
def test_each_test_that_a_promise_names_is_there(name: str):
    path, _, function = name.partition("::")
    assert function in {node.name for node in ast.parse((ROOT / path).read_text()).body if is_function(node)}


def is_function(node: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef)

"""Every promise of ``docs/guarantees.md`` names tests, and each of them is there and is run."""

import re
import subprocess
import sys

import pytest
from paths import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| **")]
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE)))


@pytest.mark.quick
def test_every_promise_names_a_test():
    assert len(ROWS) >= 7
    assert [row.split("**")[1] for row in ROWS if not re.search(r"`tests/[\w/]+\.py::test_\w+`", row)] == []


def test_each_test_that_a_promise_names_is_collected():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run([*command, *TESTS], cwd=ROOT, capture_output=True, text=True, check=False)
    collected = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(TESTS) - collected == set()

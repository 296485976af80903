"""What other tools gave of painted slides lies in ``tests/parity/cases``; the command gives the same."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from paths import ROOT

from atlaspatch_core.cli.main import cli
from atlaspatch_core.patches.grid_spec import HABITS
from parity import atlaspatch, trident
from parity.cases import Case, checksums, paint, read_cases
from parity.comparison import read_result

TOOLS = {"atlaspatch": atlaspatch, "trident": trident}
CASES = read_cases(Path(__file__).parent / "cases")


@pytest.mark.quick
def test_the_page_says_what_goes_with_each_rule():
    rows = [line for line in (ROOT / "docs" / "parity.md").read_text().splitlines() if "`--rule" in line]
    for rule, habits in HABITS.items():
        [row] = [row for row in rows if f"| `--rule {rule}` |" in row]
        assert f"| `--edge {habits.edge}` | `--resample {habits.resample}` |" in row
    assert len(rows) == len(HABITS)


def test_there_are_cases():
    assert len(CASES) >= 11


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_command_gives_rows_and_features_of_the_tool(case: Case, tmp_path: Path):
    """From mask images and from outlines."""
    tool = TOOLS[case["tool"]]
    paint(case, tmp_path)
    for tissue in ("masks", "outlines"):
        out = tmp_path / f"out of {tissue}"
        result = CliRunner().invoke(cli, [str(word) for word in tool.our_words(case, tmp_path, out, tissue)])
        assert result.exit_code == 0, result.output
        coords, features = read_result(out, tool.places(case))
        assert coords.tolist() == case["coords"], tissue
        for name, numbers in checksums(features).items():
            assert np.allclose(numbers, case["features"][name], rtol=1e-5, atol=2e-6), name

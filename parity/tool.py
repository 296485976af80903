"""A tool and ours on a painted slide, both ways: the same for all tools."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from parity.cases import Case, checksums, paint
from parity.comparison import Comparison, Places, changed_files, compare_folders, contents, read_result

Run = Callable[[Case, Path, Path], str]
"""From a case, the folder where it is painted, and a folder of results to what was printed."""
REUSED = "reused"
COLUMNS = ("painted slide", "rows", "same, in order", "largest difference of a feature", "layout")
COLUMNS += ("theirs on ours", "ours on theirs")


@dataclass(frozen=True)
class Tool:
    """How a tool is driven, and ours as its equal."""

    name: str
    version: str
    cases: Sequence[Case]
    places: Callable[[Case], Places]
    run_theirs: Run
    run_ours: Run
    take_over: Run
    """Ours on their folder; returns ``REUSED`` or what was not."""


class Row(NamedTuple):
    """A line of the table."""

    case: Case
    comparison: Comparison
    theirs_on_ours: str
    ours_on_theirs: str

    @property
    def is_same(self) -> bool:
        """Rows, features and both ways of going on are as they should be."""
        is_near = self.comparison.difference < 1e-4
        return self.comparison.same_rows and is_near and self.theirs_on_ours == self.ours_on_theirs == REUSED


def compare(tool: Tool, case: Case, folder: Path) -> Row:
    """Run a case by both in a new folder, then each on what the other made."""
    shutil.rmtree(folder, ignore_errors=True)
    paint(case, folder)
    theirs, ours, places = folder / "theirs", folder / "ours", tool.places(case)
    tool.run_theirs(case, folder, theirs)
    tool.run_ours(case, folder, ours)
    comparison = compare_folders(theirs, ours, places)
    before = contents(ours, places.apart)
    tool.run_theirs(case, folder, ours)
    theirs_on_ours = describe_changes(changed_files(before, contents(ours, places.apart)))
    return Row(record(tool, case, theirs), comparison, theirs_on_ours, tool.take_over(case, folder, theirs))


def describe_changes(names: Sequence[str]) -> str:
    """Return ``REUSED``, or which files were written anew."""
    return f"**{', '.join(names)} changed**" if names else REUSED


def record(tool: Tool, case: Case, theirs: Path) -> Case:
    """Return the case with what the tool gave."""
    coords, features = read_result(theirs, tool.places(case))
    return {**case, "coords": coords.tolist(), "features": checksums(features)}


def write_table(page: Path, tool: Tool, rows: Sequence[Row]) -> None:
    """Write the table of a tool between its marks in the page."""
    start, end = f"<!-- {tool.name} -->\n", f"<!-- end of {tool.name} -->"
    before, rest = page.read_text().split(start)
    lines = [
        f"{tool.name} {tool.version}:",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
        *map(table_line, rows),
    ]
    page.write_text(before + start + "\n".join(lines) + "\n" + end + rest.split(end)[1])


def table_line(row: Row) -> str:
    """Return a line of the table."""
    same = "yes" if row.comparison.same_rows else "**no**"
    layout, difference = "; ".join(row.comparison.layout) or "same", f"{row.comparison.difference:.1e}"
    cells = (row.case["name"], str(row.comparison.rows), same, difference, layout, *row[2:])
    return f"| {' | '.join(cells)} |"

"""Tables as people write and spreadsheets save them, and the names by which they call a slide."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

Names = dict[str, Callable[[str], str]]

SPELLINGS: Names = {
    "as it is": str,
    "capitals": lambda name: name.upper(),
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "composed": lambda name: unicodedata.normalize("NFC", name),
    "blanks around": lambda name: f"  {name} ",
}
"""Ways to write a path below the folder of slides, which mean it."""
FILES: Names = SPELLINGS | {
    "without suffix": lambda name: name.removesuffix(".tif"),
    "Windows path": lambda name: f"D:\\scans\\old\\{name}",
    "path": lambda name: f"/mnt/scans/{name}",
}
"""Ways to write a file name."""


@dataclass(frozen=True)
class TableForm:
    """How a table is written."""

    encoding: str
    separator: str
    line_end: str
    quotes: bool
    reverse: bool
    """Columns stand in the other order."""
    more: bool
    """There is a column that nobody asked for."""
    gaps: bool
    """Empty rows stand between and below."""
    head: Callable[[str], str]


table_forms = st.builds(
    TableForm,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([str, str.upper, str.title, lambda name: f" {name} ", lambda name: name.replace("_", " ")]),
)


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]], form: TableForm) -> Path:
    """Write rows under their columns."""
    lines = [[form.head(name) for name in columns], *([str(value) for value in row] for row in rows)]
    if form.more:
        lines = [[*line, "stain" if not number else "H&E"] for number, line in enumerate(lines)]
    lines = [line[::-1] for line in lines] if form.reverse else lines
    quoted = [[f'"{value}"' if form.quotes else value for value in line] for line in lines]
    written = [form.separator.join(line) for line in quoted]
    if form.gaps:
        written = [written[0], "", *written[1:], form.separator * (len(quoted[0]) - 1), ""]
    path.write_bytes((form.line_end.join(written) + form.line_end).encode(form.encoding))
    return path

"""The project file that ``atlaspatch init`` writes: every key with its default, or commented out where that is none."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atlaspatch_core.config.fields import TABLES, Table
from atlaspatch_core.option import OptionField, fields_of

HEAD = (
    "An atlaspatch project. Relative paths start at this file's folder. A key that is left out has the value shown "
    'here, unless it is marked "example".'
)
WEIGHTS = """\
# Local weights, instead of those that an encoder or a network of the segmenter declares.
[weights]
# The name, and the file. (example; default none)
# uni_v1 = "/models/uni.bin"
"""
WIDTH = 120


def project_text(examples: Mapping[str, Any] | None = None) -> str:
    """Return the text of a new project file; ``examples`` take the place of those that ``slides.folders`` … have."""
    blocks = [_comment(HEAD) + "\n"]
    for table in TABLES:
        blocks += [WEIGHTS] if table.name == "patients" else []
        blocks.append("\n".join(_lines(table, examples or {})) + "\n")
    return "\n".join(blocks)


def _lines(table: Table, examples: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table. One that is off by default is commented out as a whole."""
    off = "# " if table.name == "geometry.filters" else ""
    if table.comment:
        yield _comment(table.comment)
    if table.name:
        yield {"geometry": "[[geometry]]"}.get(table.name, f"{off}[{table.name}]")
    for field in fields_of(table.fields):
        example = examples.get(f"{table.name}.{field.name}", field.option.example)
        yield _comment(f"{field.option.help}{_marks(field, example)}")
        yield f"{off or ('' if _is_active(field) else '# ')}{field.name} = {toml(_shown_value(field, example))}"


def _is_active(field: OptionField) -> bool:
    """Tell whether the key stands in the file without being commented out."""
    if field.option.unset and not field.option.example_counts:
        return False
    return field.required or field.default is not None or field.option.example_counts


def _shown_value(field: OptionField, example: Any) -> Any:
    return field.default if example is None else example


def _marks(field: OptionField, example: Any) -> str:
    """Return what there is to say of the values that there are, and of a default that is not shown."""
    marks = f" One of {', '.join(map(toml, field.choices))}." if field.choices else ""
    if field.required:
        return f"{marks} (example; required)"
    if field.option.unset:
        return f"{marks} Default: {field.option.unset}."
    if example is None or not _is_active(field):
        return marks
    return f"{marks} (example)" if field.default is None else f"{marks} (example; default {toml(field.default)})"


def toml(value: Any) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


def _comment(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)

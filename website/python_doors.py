"""The page of what can be imported, which mkdocstrings fills with the docstrings."""

import ast
from collections.abc import Iterator
from pathlib import Path

CORE = Path(__file__).parents[1] / "atlaspatch_core"
HEAD = """# Python

Made of the docstrings of what the rooms of `atlaspatch_core` are called by from outside. Every example runs as a test.
"""


def python_page() -> str:
    """Return the page in Markdown, a section a room; what two rooms list stands below the upper one."""
    parts, listed = [HEAD], set[str]()
    for stub in sorted(CORE.rglob("__init__.pyi"), key=lambda path: (len(path.parts), path)):
        module = ".".join(stub.parent.relative_to(CORE.parent).parts)
        names = {name: place for name, place in exported_names(stub, module) if name not in listed}
        parts += [f"## {module}\n", *(f"::: {place}\n" for place in names.values())] if names else []
        listed |= names.keys()
    return "\n".join(parts)


def exported_names(stub: Path, module: str) -> Iterator[tuple[str, str]]:
    """Yield each name that a stub lists with where it is taken from."""
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.name, f"{module}.{node.module}.{alias.name}") for alias in node.names)

"""What griffe is told of our docstrings, which say ``Example:`` where it knows ``Examples:``."""

import re
from typing import Any

import griffe


class ShowExamples(griffe.Extension):
    """Show the example of a docstring as code."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section before the docstring is parsed."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

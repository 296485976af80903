"""What is wrong with a project, as pydantic found it, in words: the place, the line, the value, the nearest name."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from atlaspatch_core.config.fields import TABLES
from atlaspatch_core.config.toml_lines import line_of, line_quoting
from atlaspatch_core.option import fields_of
from atlaspatch_core.texts import shortened

UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""Pydantic's words for a key that there is not: of a model, and of a dataclass."""
WORD = re.compile(r"[\w][\w.-]*")
QUOTED = re.compile(r"'([^']*)'")


def complaint(part: Any, text: str = "") -> str:
    """Return what is wrong, in a clause; ``text`` is that of the file, where there is one."""
    place: Sequence[str | int] = part["loc"]
    name = ".".join(str(step) for step in place) or "project"
    line = line_of(text, place, part["input"]) if text else None
    where = name if line is None else f"{name} (line {line})"
    if part["type"] in UNKNOWN:
        return (
            f"{where} is no {'table' if isinstance(part['input'], dict) else 'key'}{_cure(_key(place), _keys(place))}"
        )
    hidden = isinstance(part["input"], dict) or place[:1] == ("alerts",)  # a URL there has a password in it
    shown = "" if hidden else f" (given {shortened(part['input'])})"
    near = "" if hidden else _nearest(str(part["input"]), QUOTED.findall(part["msg"]))
    return f"{where}: {part['msg'].removeprefix('Value error, ')}{shown}{near}"


def where_named(sentence: str, text: str) -> str:
    """Return where a file quotes the name that a sentence says there is not, and which of those it lists is nearest.

    Empty where the file quotes none of its words.

    >>> where_named("there is no segmenter 'otsuu'; choose one of hest, otsu", '[tissue]\\nsegmenter = "otsuu"')
    ' (line 2; did you mean otsu?)'
    """
    head, _, rest = sentence.partition("; ")
    lines = ((word, line_quoting(text, word)) for word in WORD.findall(head))
    word, line = next(((word, line) for word, line in lines if line), ("", None))
    if line is None:
        return ""
    return f" (line {line}{'' if 'near' in rest else _nearest(word, WORD.findall(rest))})"


def _key(place: Sequence[str | int]) -> str:
    return str(place[-1]) if place else ""


def _keys(place: Sequence[str | int]) -> list[str]:
    """Return the keys, and the tables, that there are where one was given."""
    table = ".".join(step for step in place[:-1] if isinstance(step, str))
    return sorted(set(_keys_in(table)))


def _keys_in(table: str) -> Iterator[str]:
    for one in TABLES:
        if one.name == table:
            yield from (field.name for field in fields_of(one.fields))
        above, _, name = one.name.rpartition(".")
        if name and above == table:
            yield name
    if not table:
        yield "weights"


def _cure(word: str, words: Sequence[str]) -> str:
    return _nearest(word, words) or (f"; there are {', '.join(words)}" if words else "")


def _nearest(word: str, words: Sequence[str]) -> str:
    near = get_close_matches(word.lower(), [one for one in words if one != word], 1)
    return f"; did you mean {near[0]}?" if near else ""

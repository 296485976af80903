"""Which pseudonym a slide has: what a table says of its file, or a keyed hash of its stem."""

import hmac
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Protocol

from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.slides.slide import folded, stem_of
from atlaspatch_core.tables import read_table

COLUMNS = ("slide", "pseudonym")
USABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}")
HEX_DIGITS = 16
LEAST_KEY = 16
"""Characters of a secret."""


class Naming(Protocol):
    """Gives slides their pseudonyms."""

    def of(self, path: Path) -> str | None:
        """Return the pseudonym of a file; None where it has none."""
        ...


@dataclass(frozen=True, slots=True)
class NamesInTable:
    """Pseudonyms that a table gives to file names, with or without suffix."""

    table: Path
    by_name: Mapping[str, str]

    def of(self, path: Path) -> str | None:
        """Return the pseudonym of a file; what is written with its suffix wins."""
        candidates = (name for key in (str, folded) for name in (key(path.name), key(stem_of(path))))
        return next((self.by_name[name] for name in candidates if name in self.by_name), None)


@dataclass(frozen=True, slots=True)
class NamesByKey:
    """Pseudonyms that are keyed hashes of stems; who has the key finds the slide of a pseudonym, nobody else does."""

    key: bytes

    def of(self, path: Path) -> str | None:
        """Return the first digits of the HMAC-SHA256 of the stem, its accents composed."""
        stem = unicodedata.normalize("NFC", stem_of(path)).encode("utf-8", "surrogateescape")
        return hmac.digest(self.key, stem, "sha256").hex()[:HEX_DIGITS]

    def __repr__(self) -> str:
        return "NamesByKey(…)"


def read_pseudonyms(table: Path) -> NamesInTable:
    """Return the pseudonyms of a table with the columns ``slide`` and ``pseudonym``.

    Raises InvalidProject naming file, line and pseudonym, and never a slide: for one that files cannot be called by,
    that is the name of another slide, for a slide with two, and for one of two slides.
    """
    by_name: dict[str, str] = {}
    line_of: dict[str, int] = {}
    for row in read_table(table, COLUMNS, (), InvalidProject, is_private=True):
        name, pseudonym, where = PureWindowsPath(row["slide"]).name, row["pseudonym"], f"{table}, line {row.line}"
        if not name:
            raise InvalidProject(f"{where}: slide is empty; give the name of a slide file")
        if not USABLE.fullmatch(pseudonym):  # not shown: who swapped the columns wrote a name there
            raise InvalidProject(
                f"{where}: results cannot carry a pseudonym of {len(pseudonym)} characters that is no word of up to "
                "120 letters (a-z), digits, dashes and underscores; give such a word"
            )
        if (first := line_of.setdefault(folded(pseudonym), row.line)) != row.line:
            raise InvalidProject(f"{where}: the pseudonym {pseudonym} stands in line {first}, too; give each slide one")
        for key in {name, folded(name)}:
            if by_name.setdefault(key, pseudonym) != pseudonym:
                raise InvalidProject(
                    f"{where}: its slide has two pseudonyms, {by_name[key]} and {pseudonym}; leave one"
                )
    for pseudonym in by_name.values():
        if by_name.get(pseudonym, pseudonym) != pseudonym or by_name.get(folded(pseudonym), pseudonym) != pseudonym:
            raise InvalidProject(
                f"{table}, line {line_of[folded(pseudonym)]}: the pseudonym {pseudonym} is also the name of a slide of "
                "another pseudonym, so that tables and masks of that name would mean either; give another pseudonym"
            )
    return NamesInTable(table, by_name)


def naming_of(project: Project) -> Naming | None:
    """Return what names the slides of a project, None where they keep their names. Raises InvalidProject."""
    slides = project.slides
    if slides.pseudonyms:
        return read_pseudonyms(slides.pseudonyms)
    if slides.pseudonym_key_variable is None:
        return None
    key = os.environ.get(slides.pseudonym_key_variable, "")
    if len(key) < LEAST_KEY:
        raise InvalidProject(
            f"pseudonym_key_variable: {slides.pseudonym_key_variable} has {len(key)} characters in the environment; "
            f"set it to a secret of {LEAST_KEY} or more"
        )
    return NamesByKey(key.encode())

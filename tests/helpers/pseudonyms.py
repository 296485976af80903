"""Slides under pseudonyms, for tests: their tables, and where names of files or of patients got out."""

import csv
import json
import logging
import sqlite3
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import h5py
import pytest

from atlaspatch_core import hidden_names

KEY = "ATLASPATCH_TEST_KEY"
"""Environment variable of a secret."""


@contextmanager
def hiding(cache: Path) -> Iterator[pytest.MonkeyPatch]:
    """Let links lie in a folder of their own, give the secret, and let this process say all names again afterwards."""
    factory = logging.getLogRecordFactory()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(hidden_names, "_hidden", None)
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv(KEY, "a secret of the hospital")
        yield patch
    logging.setLogRecordFactory(factory)


def write_table(path: Path, rows: Mapping[str, str], columns: tuple[str, str] = ("slide", "pseudonym")) -> Path:
    """Write a table of two columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows.items()])
    return path


def spellings(name: str) -> Iterator[bytes]:
    """Yield how a name may stand in a file."""
    for form in {name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))}:
        escaped = json.dumps(form)[1:-1]
        texts = {form, escaped, json.dumps(escaped)[1:-1], ascii(form)[1:-1], quote(form), quote(form, safe="")}
        yield from (text.encode() for text in texts)
        yield form.encode("utf-16-le")


def leaks(folders: Iterable[Path], told: str, names: Iterable[str]) -> list[str]:
    """Return where a name stands: in files below folders and what they are called, in databases, in what was told."""
    needles = [needle.lower() for name in names for needle in spellings(name)]
    contents = {"told": told.encode()}
    for file in (file for folder in folders for file in folder.rglob("*")):
        contents[f"name of {file}"] = str(file).encode()
        if file.is_file():
            contents[str(file)] = b"\n".join(_contents(file))
    return [place for place, content in contents.items() if any(needle in content.lower() for needle in needles)]


def _contents(file: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and what stands packed in it."""
    yield file.read_bytes()
    if file.suffix == ".db":
        with sqlite3.connect(file) as database:
            yield "\n".join(database.iterdump()).encode()
    elif file.suffix == ".h5":
        with h5py.File(file) as opened:
            found = [repr(dict(opened.attrs))]
            opened.visititems(lambda name, item: found.append(f"{name} {dict(item.attrs)!r} {_text_in(item)}"))
            yield "\n".join(found).encode()


def _text_in(item: h5py.Group | h5py.Dataset) -> str:
    """Return the values of a dataset of texts."""
    return repr(item[()]) if isinstance(item, h5py.Dataset) and item.dtype.kind in "OSV" else ""

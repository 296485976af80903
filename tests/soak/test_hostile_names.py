"""Slides with names that break shells, tables, pages and file systems: each is made, or left out by name."""

import csv
import os
import unicodedata
from pathlib import Path

import pytest
from bounded import Ended, run_bounded
from plugins import TINY_ENCODER
from rounds import Chance, soak
from slide_kinds import paint_kind

from atlaspatch_core.discovery.usable_names import LONGEST_STEM

PARTS = (
    b"a", b"A", b"case", b" ", b"  ", b".", b"..", b"...", b"-", b"--help", b"-rf", b"=cmd|' C calc'!A1", b"@SUM(1)",
    b"+1", b"\xff", b"\xc3", b"m\xfcller", "é".encode(), unicodedata.normalize("NFD", "é").encode(), "日本".encode(),
    b"\n", b"\r", b"\t", b"\x1b[31m", b"\x07", b"'", b'"', b"`id`", b"$(id)", b"${HOME}", b"%s", b"%00", b"{0}",
    b"{{x}}", b"<b>", b"<script>alert(1)</script>".replace(b"/", b""), b"&amp;", b"|", b";", b"*", b"?", b"[a]",
    b"\\", b"#", b"~", b":", b"con", b"nul", b"\xe2\x80\xae", b"\xe2\x80\x8b", b"\xf0\x9f\x94\xac", b"x" * 90,
    b"x" * 199, b"_series0", b"__", b"0", b"1e5", b"None", b"null", b"true", b"patches", b"slides", b".tmp", b".lock",
    b".h5", b"\xef\xbb\xbf",
)  # fmt: skip
"""What names are made of."""


def names_of(chance: Chance, count: int) -> list[bytes]:
    names = {b"".join(chance.choices(PARTS, k=chance.randint(1, 3)))[:251] for _ in range(count)}
    return sorted(name for name in names if not name.startswith(b"."))  # hidden files are no slides


def run_in(folder: Path) -> tuple[Ended, Ended]:
    """Encode what lies in the folder, and write the page of status."""
    words = "--patch-size 64 --target-mpp 0.5 --device cpu --patch-encoders tiny --feature-plugin plugin.py"
    encoded = run_bounded("encode-slide", "slides", "-o", "out", *words.split(), folder=folder)
    shown = run_bounded("status", "out", "--csv", folder=folder)
    return encoded, shown


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def check_nothing_outside(folder: Path, before: set[str]) -> None:
    assert entries(folder) - before == {"out"}


def check_each_slide(folder: Path, names: list[bytes], ended: Ended) -> None:
    """Assert that there are results of each slide, or a line that names it."""
    made = {os.fsencode(path.stem) for path in (folder / "out" / "patches").glob("*.h5")}
    for name in names:
        text = name.decode("utf-8", "backslashreplace")
        shown = "".join(f"\\x{ord(sign):02x}" if unicodedata.category(sign) == "Cc" else sign for sign in text)
        begins = "".join(sign for sign in shown if sign.isalnum() and sign.isascii())[:40]
        told = begins in "".join(sign for sign in ended.text if sign.isalnum() and sign.isascii())
        assert name in made or told, f"{name!r} is neither made nor told\n{ended.text}"
        assert len(name) <= LONGEST_STEM or name not in made


def check_table(shown: Ended) -> None:
    """Assert that no cell of a table is a formula, and that it is a table."""
    rows = list(csv.reader(shown.out.splitlines()))
    assert len({len(row) for row in rows}) == 1
    assert [cell for row in rows for cell in row if cell[:1] in {"=", "+", "-", "@"}] == []


@pytest.mark.e2e
@pytest.mark.soak
def test_each_name_is_made_or_told_and_nothing_lies_outside(tmp_path: Path):
    original = paint_kind(tmp_path, "original", "svs").read_bytes()

    def check(chance: Chance) -> None:
        folder = tmp_path / str(chance.number)
        (folder / "slides").mkdir(parents=True)
        (folder / "plugin.py").write_text(TINY_ENCODER)
        names = names_of(chance, 14)
        for name in names:
            Path(os.fsdecode(os.fsencode(folder / "slides") + b"/" + name + b".svs")).write_bytes(original)
        before = entries(folder)
        encoded, shown = run_in(folder)
        check_nothing_outside(folder, before)
        check_each_slide(folder, names, encoded)
        check_table(shown)

    soak(1, check)

"""Blocks of a page of the docs, run in order in one folder as a reader would, with what the page says is printed.

``bash`` and ``python`` blocks run. Each line of a ``text`` block has to occur in what the block before printed, where
``…`` stands for anything. Blocks without a language are not run. ``python`` blocks with a title are files of that name.
"""

import io
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import run_cli

BLOCK = re.compile(r'^```(\w*)(?: title="(\S+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass
class Reader:
    """Somebody who types what pages show, in one folder that is also their home."""

    folder: Path
    names: dict[str, Any] = field(default_factory=dict)
    """What Python blocks have defined."""
    printed: str = ""
    """By the latest block that ran."""

    def follow(self, page: Path) -> None:
        """Run the blocks of a page. Raises AssertionError where a command fails, or prints something else."""
        for name, code in files(page).items():
            (self.folder / name).write_text(code, encoding="utf-8")
        for language, code in blocks(page):
            match language:
                case "bash":
                    self.printed = "".join(self.type_line(line) for line in code.splitlines())
                case "python":
                    self.printed = self.execute(code)
                case "text":
                    missing = [line for line in code.splitlines() if not occurs(line, self.printed)]
                    assert not missing, f"{page.name} says {missing}, printed was:\n{self.printed}"

    def execute(self, code: str) -> str:
        """Return what Python code printed."""
        with chdir(self.folder), redirect_stdout(io.StringIO()) as out:
            exec(code, self.names)
        return out.getvalue()

    def type_line(self, line: str) -> str:
        """Return what a line of a shell printed."""
        words = shlex.split(line, comments=True)
        done = self.run_atlaspatch(words[1:]) if words[:1] == ["atlaspatch"] else self.run_shell(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def run_atlaspatch(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return run_cli(*words, folder=self.folder, environment={"HOME": str(self.folder)})

    def run_shell(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", line], cwd=self.folder, capture_output=True, text=True)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and text of the blocks of a page that are no files."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    yield from ((language, text) for language, name, text in found if not name)


def files(page: Path) -> dict[str, str]:
    """Return the files that a page shows, by name."""
    return {name: text for _, name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name}


def occurs(line: str, printed: str) -> bool:
    """Tell whether a line was printed; blanks count as one."""
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))
    return re.search(pattern.replace(".*", ".*?"), " ".join(printed.split())) is not None

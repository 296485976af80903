"""Parts of files that are written by the code: between two marks, by ``make options``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class GeneratedPart:
    """Lines of a file that follow from declarations."""

    file: str
    """Path from the root of the repository, with forward slashes."""
    start: str
    """Mark before the lines."""
    end: str
    """Mark behind them."""
    make: Callable[[], str]
    gap: str = "\n\n"
    """Between marks and lines."""

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return ROOT / self.file

    def text(self) -> str:
        """Return the file as it is."""
        return self.path.read_text(encoding="utf-8")

    def updated(self) -> str:
        """Return the file with the lines as they follow now."""
        before, _, rest = self.text().partition(self.start)
        return f"{before}{self.start}{self.gap}{self.make()}{self.gap}{self.end}{rest.partition(self.end)[2]}"

    def write(self) -> None:
        """Bring the file up to date."""
        self.path.write_text(self.updated(), encoding="utf-8")

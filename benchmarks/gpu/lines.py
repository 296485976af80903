"""What is printed beside measures: what could not be measured here, and what went wrong."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from json import dumps

from benchmarks.measuring import Measure


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A measure, or several, that have no value."""

    name: str
    why: str
    failed: bool = False
    """Something went wrong; otherwise this machine lacks what it takes."""

    def line(self) -> str:
        """Return one line of JSON."""
        return dumps({"failed" if self.failed else "not_measured": self.name, "why": self.why})


Line = Measure | Unmeasured


def guarded(name: str, measures: Callable[[], Iterable[Line]]) -> Iterator[Line]:
    """Yield measures, and a line that says so where they fail, so that one failure leaves the others."""
    try:
        yield from measures()
    except Exception as error:  # the command goes on, prints the cause and ends with status 1
        yield Unmeasured(name, " ".join(f"{type(error).__name__}: {error}".split()), failed=True)

"""Commands that are sent a signal at the n-th file they open, make, rename or remove, or after some time."""

import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bounded import start_bounded
from processes import Child
from rounds import Chance

EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.rmdir", "os.truncate", "sqlite3.connect")
COUNTING = f"""
import json, threading, time
at, number, seconds, below = json.loads(os.environ["ATLASPATCH_TEST_KILL"])
seen, main_pid = [0], os.getpid()
def count(event, arguments):
    if event not in {EVENTS!r} or os.getpid() != main_pid or not arguments:
        return
    if not str(os.fsdecode(arguments[0]) if isinstance(arguments[0], bytes) else arguments[0]).startswith(below):
        return
    seen[0] += 1
    if seen[0] == at:
        os.kill(main_pid, number)
sys.addaudithook(count)
if seconds is not None:
    def later():
        time.sleep(seconds)
        os.kill(main_pid, number)
    threading.Thread(target=later, daemon=True).start()
began = time.monotonic()
atexit.register(lambda: print(f"FILES {{seen[0]}} {{time.monotonic() - began:.3f}}", file=sys.stderr))
"""


@dataclass(frozen=True)
class Moment:
    """When which signal is sent: at a file, by number, or after some seconds."""

    signal: signal.Signals
    file: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class Course:
    """How many files a command touches when nothing disturbs it, and how many seconds it takes."""

    files: int
    seconds: float

    def moment(self, chance: Chance) -> Moment:
        """Return a moment of chance within it."""
        number = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        if chance.random() < 0.7:
            return Moment(number, file=chance.randint(1, max(1, self.files)))
        return Moment(number, seconds=chance.uniform(0, self.seconds))


def start_counted(words: tuple[object, ...], folder: Path, moment: Moment | None = None, **more: Any) -> Child:
    """Run a command in a folder, whose files are counted, with a signal at a moment or without."""
    when = moment or Moment(signal.SIGKILL)
    order = json.dumps([when.file, int(when.signal), when.seconds, str(folder)])
    environment = {"ATLASPATCH_TEST_KILL": order, **more.pop("environment", {})}
    return start_bounded(*words, folder=folder, before=COUNTING, environment=environment, **more)


def course_of(errors: str) -> Course:
    """Return the course that a command which ended by itself has said."""
    line = next(line for line in errors.splitlines() if line.startswith("FILES "))
    _, files, seconds = line.split()
    return Course(int(files), float(seconds))

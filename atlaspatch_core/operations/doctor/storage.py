"""The output's file system: written, locked, renamed and timed for real, in a folder that is removed again."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import Timeout

from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok, warn
from atlaspatch_core.operations.estimate import estimate_work
from atlaspatch_core.storage.atomic import replacing, slide_lock
from atlaspatch_core.storage.file_systems import kind_of
from atlaspatch_core.validity.states import State

PREFIX = ".atlaspatch-doctor-"
HOLD_LOCK = (
    "import sys, time; from pathlib import Path; from atlaspatch_core.storage.atomic import slide_lock; "
    "lock = slide_lock(Path(sys.argv[1]), 'doctor').acquire(); print('held', flush=True); time.sleep(120)"
)
"""What the other process runs."""
SHORT, LONG = 0.5, 5.0
"""Seconds to wait for a lock that is held, and for one that is free."""
SLOW = 1.0
"""Seconds that a small durable file may take."""
SKEW = 5.0
"""Seconds that clocks may differ: a file at rest is told by its time."""
MOST_FULL = 0.9
"""Share of the free space that results may take before it is warned of."""
NFS = "on NFS mount it with locks (no nolock, lockd running, version 4), or let the output lie elsewhere"


def place_of(output: Path) -> Path:
    """Return the output folder, or the one nearest above it that is there: nothing is made for a look."""
    return next(folder for folder in (output, *output.absolute().parents) if folder.is_dir())


@contextmanager
def scratch(output: Path) -> Iterator[Path]:
    """Give a folder on the output's file system, and remove it. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place_of(output)) as folder:
        yield Path(folder)


def writing(subject: Subject) -> Iterator[DoctorFinding]:
    """Write a file over another, durable and at once; tell how long it takes, and what the storage's clock says."""
    if subject.project is None:
        return
    output = subject.project.output
    if output.exists() and not output.is_dir():
        yield fail("output", f"{output} is a file", "let output name a folder")
        return
    try:
        with scratch(output) as folder:
            yield from _written(folder, output)
    except (OSError, AtlasPatchError) as error:
        cause = getattr(error, "strerror", None) or error
        cure = "choose another output, or change its permissions"
        yield fail("output", f"{place_of(output)} cannot be written ({cause})", cure)


def _written(folder: Path, output: Path) -> Iterator[DoctorFinding]:
    file = folder / "file"
    file.write_bytes(b"before")
    since = time.time()
    with replacing(file) as temporary:
        temporary.write_bytes(b"after")
    seconds, stamp, whole = time.time() - since, file.stat().st_mtime, file.read_bytes() == b"after"
    where = f"{output}{'' if output.exists() else ' (not there yet)'} on {kind_of(folder) or 'its file system'}"
    if not whole or [path.name for path in folder.iterdir()] != ["file"]:
        yield fail("output", f"{where}: a replaced file is not whole", "let the output lie on another file system")
    elif seconds > SLOW:
        yield warn("output", f"{where}: a durable small file takes {seconds:.1f} s", "expect writing to take its time")
    else:
        yield ok("output", f"{where}: can be written; fsync and rename work")
    skew = max(since - stamp, stamp - since - seconds, 0.0)
    if skew > SKEW:
        cure = "set both clocks by NTP: slides that are still being copied are told by their time"
        yield warn("clock", f"that of {place_of(output)} differs by {skew:.0f} s", cure)
    else:
        yield ok("clock", "that of the output's file system is this machine's")


def locking(subject: Subject) -> Iterator[DoctorFinding]:
    """Have another process hold a slide's lock: ours has to wait, and gets it when the other is killed."""
    if subject.project is None:
        return
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch(subject.project.output))
        except OSError:
            return  # it cannot be written at all, which another check says
        try:
            yield _contended(folder)
        except (OSError, AtlasPatchError) as error:
            yield fail("locks", f"the output's file system locks no files ({error})", NFS)


def _contended(folder: Path) -> DoctorFinding:
    command = [sys.executable, "-P", "-c", HOLD_LOCK, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            if other.stdout.readline().strip() != "held":
                other.kill()
                return fail("locks", f"another process got no lock ({_last(other)})", NFS)
            if is_lock_got(folder, SHORT):
                return fail("locks", "two processes hold one lock at once: they would overwrite each other", NFS)
        finally:
            other.kill()
        other.wait()
    if not is_lock_got(folder, LONG):
        return fail("locks", "a lock outlives the process that held it", NFS)
    return ok("locks", "two processes exclude each other, and a killed one leaves no lock")


def is_lock_got(folder: Path, seconds: float) -> bool:
    """Tell whether this process gets the lock in time."""
    lock = slide_lock(folder, "doctor")
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    lock.release()
    return True


def _last(other: "subprocess.Popen[str]") -> str:
    lines = (other.stderr.read() if other.stderr else "").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def space(subject: Subject) -> Iterator[DoctorFinding]:
    """Hold the free space against what the project's missing and stale outputs take."""
    from atlaspatch_core.discovery.find import find_slides
    from atlaspatch_core.operations.tracking.project_status import project_status

    recipe = subject.recipe
    if recipe is None:
        return
    free = shutil.disk_usage(place_of(recipe.project.output)).free / 1e9
    try:
        outputs = project_status(recipe, find_slides(recipe.project)).outputs
        unmade = [output for output in outputs if output.state in (State.MISSING, State.STALE)]
        takes = estimate_work(recipe, unmade, {}).gigabytes
    except AtlasPatchError as error:
        yield ok("space", f"{free:,.1f} GB free; what is needed cannot be told ({error})")
        return
    text = f"{free:,.1f} GB free, about {takes:.3g} GB of features to be written"
    if takes > free:
        yield fail("space", text, "free space, or let output name another disk")
    elif takes > MOST_FULL * free:
        yield warn("space", text, "free space: temporary copies and pictures come on top")
    else:
        yield ok("space", text)

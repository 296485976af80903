"""The output folder between processes, on two nodes where Slurm gives one: locks, renames, when they are seen."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.errors import AtlasPatchError, OutputInUse
from atlaspatch_core.operations.doctor.storage import is_lock_got, place_of, scratch
from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok, warn
from atlaspatch_core.storage.atomic import replacing
from atlaspatch_core.storage.file_systems import Mount, mount_of

PEER = """
import sys
from pathlib import Path
from atlaspatch_core.storage.atomic import replacing, slide_lock
folder = Path(sys.argv[1])
lock = slide_lock(folder, "doctor")
print("ready", flush=True)
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    answer = "done"
    if word == "hold":
        lock.acquire()
    elif word == "release":
        lock.release()
    elif word == "read":
        file = folder / rest
        answer = file.read_text() if file.exists() else "absent"
    elif word == "write":
        with replacing(folder / rest) as temporary:
            temporary.write_text(rest)
    print(answer, flush=True)
"""
"""What the other process runs: it does what is typed to it, line by line."""
SOON = 1.0
"""Seconds after which everybody is to see a file that was replaced."""
LATEST = 75.0
"""Seconds that are waited for it; NFS asks again after 60 s at the latest, unless it is told to wait longer."""
SECONDS_FOR_A_NODE = 20
SECONDS_TO_END = 5.0
HELD = 0.2
"""Seconds to wait for a lock that the other holds."""
NFS = "nfs", "nfs4"
LOCAL_LOCKS = frozenset({"nolock", "local_lock=all", "local_lock=flock", "local_lock=posix"})
LUSTRE_CURE = "have it mounted with -o flock on all nodes, or work on one node alone"
NFS_CURE = "have it mounted without nolock and local_lock (version 4, or 3 with lockd), or work on one node alone"
VISIBILITY_CURE = (
    "results are whole, and old for so long; on NFS noac or actimeo=1 among the mount options shortens it, at the cost "
    "of speed"
)
HDF5_CURE = "set HDF5_USE_FILE_LOCKING=FALSE on all nodes: readers then need no locks, and writers have ours"


class NoPeer(Exception):
    """No second process could be had."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other process."""

    process: "subprocess.Popen[str]"
    where: str
    """Where it runs, for a sentence."""

    def ask(self, words: str) -> str:
        """Return what it answers. Raises NoPeer."""
        try:
            if self.process.stdin is None or self.process.stdout is None:
                raise NoPeer("it has no streams")
            self.process.stdin.write(f"{words}\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except OSError as error:
            raise NoPeer(str(error)) from error
        if not answer:
            raise NoPeer(_last_words(self.process))
        return answer.strip()


def sharing(subject: Subject) -> Iterator[DoctorFinding]:
    """Say what the mount lacks, and try locks, renames and visibility with another process, on another node by srun."""
    if subject.project is None:
        return
    output = subject.project.output
    yield from mount_findings(mount_of(place_of(output)), place_of(output))
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch(output))
            yield _hdf5_finding(folder)
            if shutil.which("srun"):
                yield from _tried(folder, ["srun", *SRUN, f"--exclude={socket.gethostname().partition('.')[0]}"])
            yield from _tried(folder, [])
        except (OSError, AtlasPatchError) as error:
            yield fail("sharing", f"{place_of(output)} cannot be tried ({error})", "see what 'output' and 'locks' say")


SRUN = ("--nodes=1", "--ntasks=1", f"--immediate={SECONDS_FOR_A_NODE}", "--time=2", "--quiet")


def mount_findings(mount: Mount, place: Path) -> Iterator[DoctorFinding]:
    """Yield what the options of a mount mean for several nodes."""
    options = set(mount.options)
    if mount.kind in NFS:
        if local := sorted(options & LOCAL_LOCKS):
            text = f"{place} is NFS mounted with {', '.join(local)}: its locks hold on this machine alone"
            yield fail("sharing", text, NFS_CURE)
        else:
            yield ok("sharing", f"{place} is NFS whose locks are the server's")
    elif mount.kind == "lustre":
        if "flock" in options:
            yield ok("sharing", f"{place} is Lustre with flock: its locks hold between nodes")
        else:
            which = "localflock: its locks hold on this machine alone" if "localflock" in options else "no flock"
            yield fail("sharing", f"{place} is Lustre mounted with {which}", LUSTRE_CURE)


def _hdf5_finding(folder: Path) -> DoctorFinding:
    """Read an HDF5 file as other programs do, under HDF5's own lock."""
    from atlaspatch_core.storage.disk import open_file, writing_hdf5

    path = folder / "file.h5"
    with writing_hdf5(path) as file:
        file.create_dataset("values", data=[1.0])
    try:
        with open_file(path):
            return ok("sharing", "HDF5 locks files that it reads there")
    except OutputInUse:
        return warn("sharing", "HDF5 cannot lock files there, and readers fail", HDF5_CURE)


def _tried(folder: Path, launcher: list[str]) -> Iterator[DoctorFinding]:
    """Yield what a process that is started so has to say; that there is none is a warning."""
    where = "another node" if launcher else "another process"
    try:
        with _peer(folder, launcher, where) as peer:
            yield _lock_finding(folder, peer)
            yield _visibility_finding(folder, peer)
    except NoPeer as error:
        cure = "see that the environment lies on all nodes, or call it where srun gives a second one"
        yield warn("sharing", f"{where} could not be asked ({error}); what holds between nodes was not tried", cure)


@contextmanager
def _peer(folder: Path, launcher: list[str], where: str) -> Iterator[Peer]:
    command = [*launcher, sys.executable, "-P", "-c", PEER, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            if process.stdout is None or process.stdout.readline().strip() != "ready":
                raise NoPeer(_last_words(process))
            yield Peer(process, where)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Let the other end by itself, which srun that is killed would not tell it; kill what does not."""
    with suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()


def _lock_finding(folder: Path, peer: Peer) -> DoctorFinding:
    """Have the other hold a lock, and let go of it: ours has to wait, and gets it then."""
    peer.ask("hold")
    if is_lock_got(folder, HELD):
        text = f"this process and {peer.where} hold one lock at once: they would overwrite each other"
        return fail(
            "sharing", text, NFS_CURE if "node" not in peer.where else f"on NFS {NFS_CURE}; on Lustre {LUSTRE_CURE}"
        )
    peer.ask("release")
    if not is_lock_got(folder, LATEST):
        return fail("sharing", f"a lock that {peer.where} let go of is not free after {LATEST:g} s", NFS_CURE)
    return ok("sharing", f"this process and {peer.where} exclude each other by locks")


def _visibility_finding(folder: Path, peer: Peer) -> DoctorFinding:
    """Replace a file that the other has read, and have it make one that was looked for: how long until each is seen."""
    measured = (measure(folder, peer, f"new{number}") for number in range(3) for measure in MEASURES)
    seconds: list[float] = []
    while max(seconds, default=0.0) <= SOON and (latest := next(measured, None)) is not None:
        seconds.append(latest)
    if max(seconds) > LATEST:
        text = f"a file that was replaced here is not seen by {peer.where} after {LATEST:g} s, or the other way about"
        return fail("sharing", text, VISIBILITY_CURE)
    if max(seconds) > SOON:
        return warn("sharing", f"what {peer.where} replaced is seen after up to {max(seconds):.1f} s", VISIBILITY_CURE)
    return ok("sharing", f"files that are replaced are seen by {peer.where}, and its by this one, within {SOON:g} s")


def _seconds_until_read(folder: Path, peer: Peer, text: str) -> float:
    with replacing(folder / "file") as temporary:
        temporary.write_text(text)
    since = time.monotonic()
    while peer.ask("read file") != text and time.monotonic() - since <= LATEST:
        time.sleep(0.05)
    return time.monotonic() - since


def _seconds_until_there(folder: Path, peer: Peer, name: str) -> float:
    (folder / name).exists()  # so that a client that remembers what is not there does so
    peer.ask(f"write {name}")
    since = time.monotonic()
    while not (folder / name).exists() and time.monotonic() - since <= LATEST:
        time.sleep(0.05)
    return time.monotonic() - since


MEASURES = (_seconds_until_read, _seconds_until_there)


def _last_words(process: "subprocess.Popen[str]") -> str:
    process.kill()
    lines = (process.stderr.read() if process.stderr else "").strip().splitlines()
    return lines[-1] if lines else "it said nothing"

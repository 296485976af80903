"""On what kind of file system a folder lies, and how it is mounted."""

from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system as it is mounted."""

    kind: str = ""
    """Such as ``ext4`` or ``nfs4``; empty where the system does not say."""
    options: tuple[str, ...] = ()


def kind_of(path: Path) -> str:
    """Return such as ``ext4`` or ``nfs4``; an empty text where the system does not say."""
    return mount_of(path).kind


def mount_of(path: Path) -> Mount:
    """Return what a path lies on."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
        real = path.resolve()
    except OSError:
        return Mount()
    mounts = [line.split()[1:4] for line in lines if len(line.split()) >= 4]
    places = [
        (Path(point.replace("\\040", " ")), Mount(kind, tuple(words.split(",")))) for point, kind, words in mounts
    ]
    holding = [(len(point.parts), mount) for point, mount in places if real.is_relative_to(point)]
    return max(reversed(holding), key=lambda place: place[0])[1] if holding else Mount()

"""What kind of file system a folder lies on."""

from pathlib import Path

MOUNTS = Path("/proc/self/mounts")


def kind_of(path: Path) -> str:
    """Return such as ``ext4`` or ``nfs4``; an empty text where the system does not say."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
        real = path.resolve()
    except OSError:
        return ""
    mounts = [line.split()[1:3] for line in lines if len(line.split()) >= 3]
    places = [(Path(point.replace("\\040", " ")), kind) for point, kind in mounts]
    holding = [(len(point.parts), kind) for point, kind in places if real.is_relative_to(point)]
    return max(reversed(holding), key=lambda mount: mount[0])[1] if holding else ""

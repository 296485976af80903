"""How much memory this process may still take."""

from pathlib import Path

ROOT = Path("/")
KIB = 1024


def free_memory(root: Path = ROOT) -> tuple[int, int] | None:
    """Return the bytes that may be taken still and all bytes there are; None where the system does not tell.

    A scheduler or a container may grant fewer than the machine has (a control group, version 2). Files that the system
    keeps in memory count as free.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        entries = {name: int(value.split()[0]) * KIB for name, value in (line.split(":", 1) for line in lines)}
        free, total = entries["MemAvailable"], entries["MemTotal"]
    except (OSError, ValueError, KeyError):
        return None
    granted = _granted_memory(root)
    return min((free, total), granted or (free, total))


def _granted_memory(root: Path) -> tuple[int, int] | None:
    """Return what the control group of this process leaves free, and its limit; None where it has none."""
    try:
        place = (root / "proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
        group = root / "sys/fs/cgroup" / place
        limit = int((group / "memory.max").read_text())
        stated = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        used = int((group / "memory.current").read_text()) - int(stated.get("inactive_file", 0))
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return max(0, limit - used), limit

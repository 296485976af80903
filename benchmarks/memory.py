"""Peak memory of reading a slide's patches, by the size of the slide; each size in a process of its own."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Measure
from benchmarks.slides import make_slide

GOAL = "<= 600"


def peak_of_reading(path: Path, width: int, height: int) -> dict[str, int]:
    """Stream the patches of a slide's tissue; return the peak of this process's memory, MB, and how many they are."""
    from benchmarks.reading import Reading, tile_once
    from benchmarks.slides import tissue_corners

    coords = tissue_corners(width, height, 256, 256)
    tile_once(Reading(path, coords, 256, 256, 2))
    return {"megabytes": peak_kilobytes() // 1024, "patches": len(coords)}


def peak_kilobytes() -> int:
    """Return the most memory that this process had: since it was started, and not since the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measures(folder: Path, sizes: tuple[tuple[int, int], ...]) -> Iterator[Measure]:
    """Yield the peak memory of reading each size."""
    for width, height in sizes:
        path = make_slide(folder / f"memory{width}.svs", width, height)
        command = [sys.executable, "-m", "benchmarks.memory", str(path), str(width), str(height)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        path.unlink()
        detail = {"patches": found["patches"]}
        yield Measure(f"reader_peak_{width}x{height}", found["megabytes"], GOAL, "megabytes", detail)


if __name__ == "__main__":
    print(json.dumps(peak_of_reading(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

"""Whether copies to and from the device are hidden behind its work, and how many bytes travel, by torch's profiler."""

from collections.abc import Iterator
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.activity import Activity, read_trace
from benchmarks.gpu.lines import Line, Unmeasured
from benchmarks.gpu.networks import Network
from benchmarks.gpu.setting import Setting, coords_of, encode, project
from benchmarks.measuring import Measure

CHANNELS = 3


def copy_lines(setting: Setting, network: Network, precision: str) -> Iterator[Line]:
    """Yield what a trace of the pipeline over the first slide says of one network."""
    name = f"{network.name}_{precision}"
    if not setting.on_gpu:
        yield Unmeasured(f"copies_{name}", "no GPU: nothing is copied to the memory of a device")
        return
    activity = traced(setting, network, precision)
    patches = len(coords_of(setting, setting.slides[0]))
    yield from lines_of(name, activity, patches * setting.patch_size**2 * CHANNELS)


def traced(setting: Setting, network: Network, precision: str) -> Activity:
    """Return what the device did while the pipeline encoded the first slide; once before, untraced."""
    path = Path(setting.folder, "trace.json")
    made = project(setting, network, precision, setting.batch_size, "auto")
    encode(made, setting.slides[:1])
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        encode(made, setting.slides[:1])
    profiler.export_chrome_trace(str(path))
    activity = read_trace(path)
    path.unlink()
    if not len(activity.kernels):
        raise RuntimeError("the profiler saw no kernel: CUPTI, which tells them, is not there or not permitted")
    return activity


def lines_of(name: str, activity: Activity, pixel_bytes: int) -> Iterator[Line]:
    """Yield the measures of an activity that encoded patches of so many bytes."""
    up, down = activity.uploads, activity.downloads
    detail = {"megabytes": round(up.bytes / 1e6, 1), "pinned_share": share(up.pinned_bytes, up.bytes)}
    yield Measure(f"uploads_hidden_{name}", activity.hidden(up), "", "share", detail)
    detail = {"megabytes": round(down.bytes / 1e6, 1), "pinned_share": share(down.pinned_bytes, down.bytes)}
    yield Measure(f"downloads_hidden_{name}", activity.hidden(down), "", "share", detail)
    yield Measure(f"bytes_up_over_pixels_{name}", up.bytes / pixel_bytes, "<= 1.05")
    yield Measure(f"kernels_running_{name}", activity.busy, ">= 0.95", "share", {"kernels": len(activity.kernels)})


def share(part: int, whole: int) -> float:
    """Return a share; 1 of nothing."""
    return round(part / whole, 3) if whole else 1.0

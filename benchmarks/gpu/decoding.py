"""JPEG tiles decoded on the GPU against all CPU cores, and by how much their pixels differ: an experiment.

Both sides begin with the bytes of tiles in the host's memory and end with pixels in the device's.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
from numpy.typing import NDArray

from atlaspatch_core.isolation.cores import usable_cores
from benchmarks.gpu.bare import synchronise
from benchmarks.gpu.jpeg_layouts import LAYOUTS, StoredJpegs, store
from benchmarks.gpu.lines import Line, Unmeasured, guarded
from benchmarks.gpu.setting import Setting
from benchmarks.measuring import Measure, in_turns, times_as_fast

GOAL = ">= 1.5"
"""On some layout: below it, decoding on the GPU stays out of the product."""
PIXELS, FEW_PIXELS = 2**26, 2**20
"""That are decoded at once: 1,024 tiles of 256 px on a GPU, 16 without one."""
Decoder = Callable[[list[bytes], torch.device], list[torch.Tensor]]
"""JPEG files to pixels on a device, each of shape (height, width, 3), uint8, RGB."""


def decoding_lines(setting: Setting) -> Iterator[Line]:
    """Yield each decoder of the GPU over all CPU cores, by layout; without a GPU torchvision decodes on the CPU."""
    device, found = torch.device(setting.device if setting.on_gpu else "cpu"), decoders(setting)
    if "nvimagecodec" not in found:
        yield Unmeasured("decoding_nvimagecodec", "no GPU, or nvidia-nvimgcodec-cu12 (or -cu13) is not installed")
    pixels = PIXELS if setting.on_gpu else FEW_PIXELS
    for layout in LAYOUTS:
        stored = store(layout, setting.folder / f"{layout.name}.tiff")
        for decoder, decode in found.items():
            name, batch = f"decoding_{decoder}_{layout.name}", pixels // layout.side**2
            yield from guarded(name, partial(compared, name, stored, decode, device, batch, setting.rounds))


def decoders(setting: Setting) -> Mapping[str, Decoder]:
    """Return the decoders that are there, by name."""
    found: dict[str, Decoder] = {}
    if setting.on_gpu and find_spec("nvidia") and find_spec("nvidia.nvimgcodec"):
        found["nvimagecodec"] = nvimagecodec(torch.device(setting.device).index or 0)
    if find_spec("torchvision"):
        found["torchvision"] = by_torchvision
    return found


def compared(
    name: str, stored: StoredJpegs, decoder: Decoder, device: torch.device, batch: int, rounds: int
) -> Iterator[Measure]:
    """Yield how many times as fast a decoder is as all cores with the product's decoder, and how pixels differ."""
    repeats = -(-batch // len(stored.tiles))
    difference = differences(decoder(stored.files, device), by_cores(stored, 1, device))
    ways = [partial(decode_on, decoder, stored.files * repeats, device), partial(by_cores, stored, repeats, device)]
    for way in ways:
        way()
    quick, slow = in_turns(ways, rounds)
    tiles = repeats * len(stored.tiles)
    rates = [round(tiles / median(taken)) for taken in (quick, slow)]
    detail = {"tiles": tiles, "tiles_per_second": rates, "megapixels_per_second": megapixels(rates, stored)}
    detail |= {"cores": usable_cores(), "device": str(device)} | difference
    yield Measure(name, times_as_fast(quick, slow), GOAL if device.type == "cuda" else "", detail=detail)


def megapixels(rates: list[int], stored: StoredJpegs) -> list[float]:
    """Return rates in tiles as rates in megapixels."""
    side = stored.level.tile_width
    return [round(rate * side * side / 1e6, 1) for rate in rates]


def differences(some: list[torch.Tensor], others: torch.Tensor) -> dict[str, float]:
    """Return how pixels differ from those of the product's decoder, of 255."""
    difference = (torch.stack(some).int() - others.int()).abs()
    return {
        "mean_difference": round(float(difference.float().mean()), 4),
        "largest_difference": int(difference.max()),
        "equal_share": round(float((difference == 0).float().mean()), 4),
    }


def decode_on(decoder: Decoder, files: list[bytes], device: torch.device) -> None:
    """Decode, and wait for the device."""
    decoder(files, device)
    synchronise(device)


def by_cores(stored: StoredJpegs, repeats: int, device: torch.device) -> torch.Tensor:
    """Return pixels (n, height, width, 3) on the device, decoded by all cores as the product does, and copied there."""
    level, tiles = stored.level, stored.tiles * repeats
    shape = len(tiles), level.tile_height, level.tile_width, 3
    pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
    rows: NDArray[Any] = pixels.numpy()

    def decode(numbers: NDArray[np.int64]) -> None:
        for number in numbers.tolist():
            level.decoders[0](tiles[number], number, rows[number])

    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(decode, np.array_split(np.arange(len(tiles)), 4 * usable_cores())))
    there = pixels.to(device, non_blocking=True)
    synchronise(device)
    return there


def by_torchvision(files: list[bytes], device: torch.device) -> list[torch.Tensor]:
    """Decode by torchvision: nvJPEG on a GPU, libjpeg on a CPU."""
    from torchvision.io import ImageReadMode, decode_jpeg

    data: Any = [torch.frombuffer(bytearray(file), dtype=torch.uint8) for file in files]
    with catch_warnings():
        simplefilter("ignore")  # torchvision is to lose its decoders
        return [image.permute(1, 2, 0) for image in decode_jpeg(data, mode=ImageReadMode.RGB, device=device)]


def nvimagecodec(index: int) -> Decoder:
    """Return the decoder of nvImageCodec on a GPU."""
    from nvidia import nvimgcodec  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]

    decoder = nvimgcodec.Decoder(device_id=index)

    def decode(files: list[bytes], device: torch.device) -> list[torch.Tensor]:  # noqa: ARG001 - it has one already
        return [torch.from_dlpack(image) for image in decoder.decode(files)]

    return decode

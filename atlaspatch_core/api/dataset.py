"""Patches for PyTorch. Imports torch; it is imported when ``PatchDataset`` is first asked for."""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from atlaspatch_core.api.slide import as_opened
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.stream import read_patches
from atlaspatch_core.slides.slide import Slide

Item = tuple[Any, torch.Tensor]
"""Pixels, RGB uint8 (h, w, 3) or what the transform made of them, and coords, int64 (2,): x, y, level-0 px."""


@final
class PatchDataset(Dataset[Item]):
    """The patches of one slide for ``torch.utils.data.DataLoader``: item i is row i of the grid.

    Workers open the slide again, each for itself, and read the patches of a batch together. Pixels are those that
    ``ap.patches`` yields.

    Args:
        slide: What ``open_slide`` returned.
        grid: Its patches, as ``lay_grid`` chose them.
        transform: Called with RGB pixels, uint8 (h, w, 3); what it returns is the item's first part.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> slide = ap.open_slide("CMU-1-Small-Region.svs")
        >>> grid = ap.lay_grid(slide, ap.segment(slide), patch_size=256, target_mag=20, min_tissue=0.9)
        >>> pixels, coords = next(iter(DataLoader(ap.PatchDataset(slide, grid), batch_size=4)))
        >>> pixels.shape, pixels.dtype, coords.shape
        (torch.Size([4, 256, 256, 3]), torch.uint8, torch.Size([4, 2]))
    """

    def __init__(
        self, slide: Slide, grid: PatchGrid, transform: Callable[[NDArray[np.uint8]], Any] | None = None
    ) -> None:
        self.slide, self.grid, self.transform = slide, grid, transform

    def __len__(self) -> int:
        return len(self.grid)

    def __getitem__(self, row: int) -> Item:
        if not -len(self) <= row < len(self):
            raise IndexError(f"{self.slide.info.stem}: there is no patch {row}; the grid has {len(self)}")
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[Item]:
        """Return the items of a batch; the name is the one that a ``DataLoader`` looks for."""
        corners = self.grid.coords[np.asarray(rows, np.int64)]
        pixels = read_patches(as_opened(self.slide), corners, self.grid.sampling)
        items = pixels if self.transform is None else map(self.transform, pixels)
        return list(zip(items, torch.from_numpy(corners.astype(np.int64)), strict=True))

    def __repr__(self) -> str:
        return f"<dataset of {self.grid!r} of {self.slide.info.stem}>"

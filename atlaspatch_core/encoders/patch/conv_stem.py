"""The stem of CTransPath, in the place of Swin's patch embedding. Imports torch; imported when the network is built."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ConvStem(nn.Module):
    """Two convolutions of stride 2, each with batch norm and ReLU, and a projection: a quarter of the resolution."""

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 4,
        in_chans: int = 3,
        embed_dim: int = 96,
        norm_layer: Callable[[int], nn.Module] | None = None,
        **_: object,
    ) -> None:
        super().__init__()
        if patch_size != 4:
            raise ValueError(f"the stem quarters the resolution; a patch size of {patch_size} is not for it")
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        self.grid_size = (height // patch_size, width // patch_size)
        first, second = embed_dim // 8, embed_dim // 4
        self.proj = nn.Sequential(
            nn.Conv2d(in_chans, first, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.Conv2d(second, embed_dim, 1),
        )
        self.norm = nn.Identity() if norm_layer is None else norm_layer(embed_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (b, h/4, w/4, embed_dim) from (b, 3, h, w)."""
        return self.norm(torch.movedim(self.proj(pixels), 1, -1))

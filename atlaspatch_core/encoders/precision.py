"""How encoders compute: number formats, and whether their networks may be made quicker."""

from typing import Literal

Precision = Literal["float32", "float16", "bfloat16"]

Compile = Literal["auto", "off"]
"""Whether a network may run quicker than its makers' code."""


def compute_float32_in_full() -> None:
    """Let a GPU compute float32 with all 24 bits of its numbers, from now on in this process.

    By itself torch lets it round the numbers of convolutions to TF32, of 11 bits, as many as float16 has. Features that
    are said to be float32 would then differ from a CPU's by 1e-3 of their size, not 1e-6. Who wants the speed asks for
    float16 or bfloat16.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False

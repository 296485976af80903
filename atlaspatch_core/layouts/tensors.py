"""``.pt`` files of features: tensors and arrays are taken out, code in them is never run."""

from pathlib import Path
from threading import Lock
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableOutput

_ONE_AT_A_TIME = Lock()
"""What torch may build while it reads is a setting of the whole process."""
_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")


def read_tensor(path: Path) -> NDArray[Any]:
    """Return the features that a ``.pt`` file holds, as it has them: a tensor, an array, or the one of a mapping.

    Pickled objects other than tensors and numeric arrays are refused, not run. Raises UnreadableOutput.
    """
    import torch

    try:
        with _ONE_AT_A_TIME, torch.serialization.safe_globals(_arrays()), catch_warnings():
            simplefilter("ignore")
            value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged or hostile file, torch raises whatever its parts do
        reason = f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"
        raise UnreadableOutput(
            f"{path.stem}: {path} cannot be read as a tensor ({reason}); compute it again"
        ) from error
    if isinstance(value, dict):
        value = value.get("features", next(iter(value.values()), None) if len(value) == 1 else None)
    if isinstance(value, torch.Tensor):
        value = value.detach().float().numpy() if value.is_floating_point() else value.detach().numpy()
    if not isinstance(value, np.ndarray) or value.dtype == object:
        raise UnreadableOutput(f"{path.stem}: {path} holds {type(value).__name__}, no features; compute them again")
    return value


def _arrays() -> list[Any]:
    """Return what a pickled numeric array is built from, under the names of old and new numpy."""
    from numpy._core.multiarray import _reconstruct  # type: ignore[attr-defined]

    names = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
    return [
        np.ndarray,
        np.dtype,
        *((_reconstruct, name) for name in names),
        *{type(np.dtype(name)) for name in _DTYPES},
    ]

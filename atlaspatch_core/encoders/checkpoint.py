"""Reading checkpoints without running what they carry, and fitting them to a network."""

from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from atlaspatch_core.encoders.declaration import Adapt, StateDict
from atlaspatch_core.encoders.weights import hash_of
from atlaspatch_core.errors import WrongWeights

if TYPE_CHECKING:
    from torch.nn import Module

FILES_OF_A_FOLDER = ("model.safetensors", "pytorch_model.bin")
"""What published folders call their weights, best first."""
WRAPPERS = ("state_dict", "model")
PARALLEL = "module."


def check_hash(path: Path, declared: str | None, encoder: str) -> None:
    """Raise WrongWeights when a file is not the declared one."""
    if declared is not None and hash_of(path) != declared:
        raise WrongWeights(f"{encoder}: {path} has another sha256 than the declared {declared}; install it anew")


def read_checkpoint(path: Path, encoder: str) -> StateDict:
    """Return names to tensors, on the CPU, from a .safetensors, .pt, .pth or .bin file, or a folder that holds one.

    Wrappers (``state_dict``, ``model``) and the prefix ``module.`` are taken off. Pickled objects other than tensors
    are never run. Raises WrongWeights.
    """
    file = _file_of(path, encoder)
    state = _unwrap(_read(file, encoder))
    if not isinstance(state, dict) or not state or not all(_is_tensor(value) for value in state.values()):
        raise WrongWeights(f"{encoder}: {file} holds no state dict; save model.state_dict() and name that file")
    return {str(name).removeprefix(PARALLEL): tensor for name, tensor in state.items()}


def load_strictly(network: "Module", checkpoint: StateDict, adapt: Adapt, encoder: str) -> None:
    """Load a checkpoint into a network, all of it; raises WrongWeights that names the first tensors that do not fit."""
    own = network.state_dict()
    given = adapt(checkpoint, own)
    problems = [
        _listed("missing", [name for name in own if name not in given]),
        _listed("unexpected", [name for name in given if name not in own]),
        _listed("of another shape", [_shapes(n, given[n], own[n]) for n in own if _misfit(given.get(n), own[n])]),
    ]
    if any(problems):
        raise WrongWeights(f"{encoder}: the checkpoint is of another network: {'; '.join(filter(None, problems))}")
    network.load_state_dict(given, strict=True)


def _file_of(path: Path, encoder: str) -> Path:
    if not path.is_dir():
        return path
    for name in FILES_OF_A_FOLDER:
        if (path / name).is_file():
            return path / name
    raise WrongWeights(f"{encoder}: the folder {path} has none of {', '.join(FILES_OF_A_FOLDER)}; name the file itself")


def _read(file: Path, encoder: str) -> object:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise WrongWeights(
            f"{encoder}: {file} is no checkpoint of tensors alone, and what else it carries is not run; "
            f"save model.state_dict() and name that file"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise WrongWeights(f"{encoder}: {file} cannot be read as a checkpoint: {error}; get the file again") from error


def _unwrap(state: object) -> object:
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    return state


def _is_tensor(value: object) -> bool:
    from torch import Tensor

    return isinstance(value, Tensor)


def _misfit(given: "object | None", own: object) -> bool:
    return given is not None and getattr(given, "shape", None) != getattr(own, "shape", None)


def _shapes(name: str, given: object, own: object) -> str:
    return f"{name} {tuple(getattr(given, 'shape', ()))} for {tuple(getattr(own, 'shape', ()))}"


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{what} {', '.join(names[:2])}{more}" if names else ""

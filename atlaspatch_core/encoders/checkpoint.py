"""Reading checkpoints without running what they carry, and fitting them to a network."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

from atlaspatch_core.encoders.declaration import Adapt, StateDict
from atlaspatch_core.encoders.unfilled import give_memory
from atlaspatch_core.encoders.weights import hash_of
from atlaspatch_core.errors import WrongWeights
from atlaspatch_core.texts import parse_json

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

FILES_OF_A_FOLDER = ("vision_tower_only.safetensors", "model.safetensors", "pytorch_model.bin")
"""What published folders call their weights, best first."""
INDEX = "model.safetensors.index.json"
"""Lists the files of weights that are published in parts."""
WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher")
PARALLEL = "module."


@dataclass(frozen=True, slots=True)
class TensorChoice:
    """Which tensors of a checkpoint are read."""

    prefixes: tuple[str, ...] = ()
    """Beginnings of the names that are; none: all."""
    without: str = ""
    """Beginning of the names that are not; empty: none."""

    def __contains__(self, name: str) -> bool:
        return (not self.prefixes or name.startswith(self.prefixes)) and not self.is_skipped(name)

    def is_skipped(self, name: str) -> bool:
        """Tell whether a tensor is left out, in whatever file it lies."""
        return bool(self.without) and name.startswith(self.without)


def check_hash(path: Path, declared: str | None, encoder: str) -> None:
    """Raise WrongWeights when a file is not the declared one."""
    if declared is not None and hash_of(path) != declared:
        raise WrongWeights(f"{encoder}: {path} has another sha256 than the declared {declared}; install it anew")


def read_checkpoint(path: Path, encoder: str, prefixes: tuple[str, ...] = (), *, without: str = "") -> StateDict:
    """Return names to tensors, on the CPU, from a .safetensors, .pt, .pth or .bin file, or a folder that holds one.

    Wrappers (``state_dict``, ``model``, ``teacher``) and the prefix ``module.`` are taken off. Pickled objects other
    than tensors are never run. Of .safetensors only names with one of the ``prefixes`` are read, where there are some;
    of no file those that begin with ``without``, where there is such a prefix. Raises WrongWeights.
    """
    choice = TensorChoice(prefixes, without)
    if (path / INDEX).is_file():
        return _read_parts(path, encoder, choice)
    file = _file_of(path, encoder)
    state = _unwrap(_read(file, encoder, choice))
    if not isinstance(state, dict) or not state or not all(_is_tensor(value) for value in state.values()):
        raise WrongWeights(f"{encoder}: {file} holds no state dict; save model.state_dict() and name that file")
    if odd := [str(name) for name, tensor in state.items() if not _is_plain(tensor)]:
        raise WrongWeights(
            f"{encoder}: {file} holds tensors without numbers of their own, or that are sparse or quantized: "
            f"{_listed('such as', odd)}; save model.state_dict() of the network as it computes"
        )
    names = {str(name).removeprefix(PARALLEL): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in names.items() if not choice.is_skipped(name)}


def _is_plain(tensor: "Tensor") -> bool:
    import torch

    return tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized


def load_strictly(network: "Module", checkpoint: StateDict, adapt: Adapt, encoder: str) -> None:
    """Load a checkpoint into a network, all of it; raises WrongWeights that names the first tensors that do not fit.

    Fractions are never taken from complex or whole numbers. A network on device ``meta`` is on the CPU then.
    """
    own = network.state_dict()
    adapted = adapt(checkpoint, own)
    problems = [
        _listed("missing", [name for name in own if name not in adapted]),
        _listed("unexpected", [name for name in adapted if name not in own]),
        _listed("of another shape", [_shapes(n, adapted[n], own[n]) for n in own if _misfit(adapted.get(n), own[n])]),
        _listed(
            "of another kind of number", [_kinds(n, adapted[n], own[n]) for n in own if _is_other(adapted, own, n)]
        ),
    ]
    if any(problems):
        raise WrongWeights(f"{encoder}: the checkpoint is of another network: {'; '.join(filter(None, problems))}")
    give_memory(network)
    network.load_state_dict(adapted, strict=True)


def _file_of(path: Path, encoder: str) -> Path:
    if not path.is_dir():
        return path
    for name in FILES_OF_A_FOLDER:
        if (path / name).is_file():
            return path / name
    raise WrongWeights(f"{encoder}: the folder {path} has none of {', '.join(FILES_OF_A_FOLDER)}; name the file itself")


def _read_parts(folder: Path, encoder: str, choice: TensorChoice) -> StateDict:
    places = _read_index(folder / INDEX, encoder)
    files = {file for name, file in places.items() if name in choice}
    state: StateDict = {}
    for file in sorted(files):
        if not (folder / file).is_file():
            raise WrongWeights(f"{encoder}: {folder} lacks {file}, which {INDEX} names; get the folder again")
        state |= read_checkpoint(folder / file, encoder, choice.prefixes, without=choice.without)
    return state


def _read_index(index: Path, encoder: str) -> dict[str, str]:
    """Return tensor to file. Raises WrongWeights for an index that is none."""
    try:
        places = parse_json(index.read_bytes())["weight_map"]
        if any(Path(file).name != file for file in places.values()):
            raise ValueError("weight_map names what is no file of the folder")
        return {str(name): file for name, file in places.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WrongWeights(f"{encoder}: {index} is no index of weights ({error!r}); get the folder again") from error


def _read(file: Path, encoder: str, choice: TensorChoice) -> object:
    import torch
    from safetensors import safe_open

    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                names = [name for name in tensors.keys() if name in choice]  # noqa: SIM118
                return {name: tensors.get_tensor(name) for name in names}
        check_archive(file, encoder)
        return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise WrongWeights(
            f"{encoder}: {file} is no checkpoint of tensors alone, and what else it carries is not run; "
            f"save model.state_dict() and name that file"
        ) from error
    except WrongWeights:
        raise
    except Exception as error:  # damaged bytes lead torch's reader of pickles to any error, IndexError and others
        why = f"{type(error).__name__}: {error}"
        raise WrongWeights(f"{encoder}: {file} cannot be read as a checkpoint: {why}; get the file again") from error


def check_archive(file: Path, encoder: str) -> None:
    """Raise WrongWeights where a part of a checkpoint that is a ZIP archive is not of its checksum: torch asks none."""
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        if not any(part.CRC for part in archive.infolist()):
            return  # written after torch.serialization.set_crc32_options(False)
        damaged = archive.testzip()
    if damaged is not None:
        raise WrongWeights(f"{encoder}: {file} is damaged: {damaged} in it is not of its checksum; get the file again")


def _unwrap(state: object) -> object:
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    return state


def _is_tensor(value: object) -> bool:
    from torch import Tensor

    return isinstance(value, Tensor)


def _misfit(tensor: "object | None", own: object) -> bool:
    return tensor is not None and getattr(tensor, "shape", None) != getattr(own, "shape", None)


def _is_other(adapted: StateDict, own: StateDict, name: str) -> bool:
    """Tell whether a tensor would be converted with loss: complex or whole numbers for fractions, or the reverse."""
    if name not in adapted:
        return False
    tensor, parameter = adapted[name], own[name]
    of_fractions = (tensor.is_floating_point(), tensor.is_complex())
    return of_fractions != (parameter.is_floating_point(), parameter.is_complex())


def _kinds(name: str, tensor: "Tensor", own: "Tensor") -> str:
    return f"{name} {tensor.dtype} for {own.dtype}"


def _shapes(name: str, tensor: object, own: object) -> str:
    return f"{name} {tuple(getattr(tensor, 'shape', ()))} for {tuple(getattr(own, 'shape', ()))}"


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{what} {', '.join(names[:2])}{more}" if names else ""

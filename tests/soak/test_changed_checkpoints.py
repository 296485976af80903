"""Checkpoints with bytes changed by chance, or that carry code: none runs, and none is loaded as what it is not."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bounded import keep_fault
from mutations import mutate
from paths import DATA
from rounds import Chance, soak
from safetensors.torch import save_file

from atlaspatch_core.encoders.checkpoint import load_strictly, read_checkpoint
from atlaspatch_core.errors import WrongWeights

FOUND = DATA / "found" / "checkpoints"


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def save_legacy(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


FORMS: dict[str, tuple[str, Callable[[dict[str, Any], Path], None]]] = {
    "zip": (".pt", torch.save),
    "pickle": (".pth", save_legacy),
    "safetensors": (".safetensors", save_file),
}


class Payload:
    """What a pickle does when it is loaded by a reader that trusts it."""

    def __init__(self, how: str, marker: Path) -> None:
        self.how, self.marker = how, str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        import builtins
        import os
        import pathlib
        import shutil

        calls: dict[str, tuple[Any, ...]] = {
            "system": (os.system, (f"touch {self.marker}",)),
            "eval": (builtins.eval, (f"open({self.marker!r}, 'w')",)),
            "open": (open, (self.marker, "w")),
            "mkdir": (os.mkdir, (self.marker,)),
            "touch": (pathlib.Path.touch, (pathlib.Path(self.marker),)),
            "copy": (shutil.copyfile, (__file__, self.marker)),
        }
        return calls[self.how]


def write_payload(path: Path, marker: Path, chance: Chance) -> None:
    """Write a checkpoint that carries code beside tensors, in a place of chance."""
    payload = Payload(chance.choice(("system", "eval", "open", "mkdir", "touch", "copy")), marker)
    state: dict[Any, Any] = {**network().state_dict(), "more": payload}
    state = chance.choice((state, {"state_dict": state}, {"model": payload}, {"0.weight": payload}, {(1, 2): payload}))
    how = chance.choice(("zip", "legacy", "plain", "in zip"))
    if how == "plain":
        path.write_bytes(pickle.dumps(payload, protocol=chance.choice((0, 2, 4))))
    elif how == "in zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", pickle.dumps(payload))
            archive.writestr("a/version", "3\n")
    else:
        torch.save(state, path, _use_new_zipfile_serialization=how == "zip")


def load(path: Path) -> dict[str, Any] | None:
    """Return what a network has after a checkpoint was loaded into it, or None where it was refused."""
    loaded = network()
    with torch.no_grad():
        for values in loaded.state_dict().values():
            values.zero_()
    try:
        load_strictly(loaded, read_checkpoint(path, "tiny"), lambda checkpoint, _: checkpoint, "tiny")
    except WrongWeights:
        return None
    return dict(loaded.state_dict())


def check_changed(folder: Path, chance: Chance, form: str) -> None:
    suffix, save = FORMS[form]
    path, state = folder / f"a{suffix}", network().state_dict()
    save(state, path)
    original = path.read_bytes()
    path.write_bytes(mutate(original, chance))
    loaded = load(path)
    if loaded is not None and form == "zip":  # the others carry no checksums of their values
        assert all(torch.equal(loaded[name], value) for name, value in state.items()), "loaded other values"


def check_payload(folder: Path, chance: Chance) -> None:
    path, marker = folder / f"b{chance.choice(('.pt', '.pth', '.bin', '.ckpt'))}", folder / "ran"
    write_payload(path, marker, chance)
    if chance.random() < 0.3:
        path.write_bytes(mutate(path.read_bytes(), chance, 1))
    load(path)
    assert not marker.exists(), "code of a checkpoint ran"


@pytest.mark.soak
def test_no_changed_checkpoint_is_loaded_as_another_and_no_code_runs(tmp_path: Path):
    def check(chance: Chance) -> None:
        for path in tmp_path.iterdir():
            path.unlink()
        try:
            check_changed(tmp_path, chance, chance.choice(sorted(FORMS)))
            check_payload(tmp_path, chance)
        except Exception as fault:
            path = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            fault.add_note(f"kept in {keep_fault(f'checkpoint-{chance.number}{path.suffix}', path.read_bytes())}")
            raise

    soak(150, check)


@pytest.mark.quick
@pytest.mark.parametrize("path", sorted(FOUND.iterdir()), ids=lambda path: path.name)
def test_checkpoints_that_once_were_a_fault_are_refused(path: Path):
    assert load(path) is None

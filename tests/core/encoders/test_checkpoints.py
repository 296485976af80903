"""Checkpoints that would be loaded with loss, or are damaged, are refused by name."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rounds import examples

from atlaspatch_core.encoders.checkpoint import load_strictly, read_checkpoint
from atlaspatch_core.errors import WrongWeights

pytestmark = pytest.mark.quick


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


@examples(20)
@given(name=st.sampled_from(sorted(network().state_dict())), dtype=st.sampled_from([
    torch.complex64, torch.int8, torch.int64, torch.bool, torch.float16, torch.bfloat16, torch.float64
]))  # fmt: skip
def test_fractions_are_taken_from_fractions_alone(tmp_path_factory, name: str, dtype: torch.dtype):
    state = network().state_dict()
    is_counter = not state[name].is_floating_point()
    state[name] = state[name].to(dtype)
    path = tmp_path_factory.mktemp("weights") / "a.pt"
    torch.save(state, path)
    if not dtype.is_complex and is_counter != dtype.is_floating_point:
        load_strictly(network(), read_checkpoint(path, "tiny"), lambda checkpoint, _: checkpoint, "tiny")
        return
    with pytest.raises(WrongWeights, match=f"{name} {dtype}"):
        load_strictly(network(), read_checkpoint(path, "tiny"), lambda checkpoint, _: checkpoint, "tiny")


def test_a_flipped_bit_of_an_archive_is_told(tmp_path: Path):
    path = tmp_path / "a.pt"
    weights = torch.arange(1000, dtype=torch.float32)
    torch.save({"weight": weights}, path)
    content = bytearray(path.read_bytes())
    content[content.index(weights.numpy().tobytes()) + 2002] ^= 1
    path.write_bytes(content)
    with pytest.raises(WrongWeights, match="not of its checksum"):
        read_checkpoint(path, "tiny")


def test_an_archive_that_was_written_without_checksums_is_read(tmp_path: Path):
    path, weights = tmp_path / "a.pt", torch.arange(1000, dtype=torch.float32)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"weight": weights}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_checkpoint(path, "tiny")["weight"], weights)


@pytest.mark.parametrize(
    "index",
    [b"", b"[", b"{}", b"[1]", b'{"weight_map": 1}', b'{"weight_map": {"a": 1}}', b'{"weight_map": {"a": "../b"}}',
     b"[" * 5000, b"\xff\xfe"],
    ids=str,
)  # fmt: skip
def test_an_index_of_weights_that_is_none_is_one_sentence(tmp_path, index):
    (tmp_path / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(WrongWeights, match="is no index of weights"):
        read_checkpoint(tmp_path, "some")


def test_sparse_and_meta_tensors_are_refused_by_their_names(tmp_path):
    whole = torch.ones(2, 2)
    for name, odd in (("sparse", whole.to_sparse()), ("meta", whole.to("meta"))):
        torch.save({"whole": whole, name: odd}, tmp_path / f"{name}.pt")
        with pytest.raises(WrongWeights, match=f"such as {name}|cannot be read"):
            read_checkpoint(tmp_path / f"{name}.pt", "some")

"""Repositories with code beside their weights, and packages, as tests write them."""

import json
from pathlib import Path
from textwrap import dedent

import torch
from safetensors.torch import save_file

CONFIGURATION = """
from transformers import PretrainedConfig

class StubConfig(PretrainedConfig):
    model_type = "stub"

    def __init__(self, width=6, **more):
        super().__init__(**more)
        self.width = width
"""


def write(folder: Path, name: str, code: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(code))


def remote_folder(folder: Path, code: str, tensors: dict[str, torch.Tensor]) -> Path:
    """Write a repository as the hub has them: configuration, code and weights."""
    write(folder, "configuration.py", CONFIGURATION)
    write(folder, "modeling.py", code)
    auto = {"AutoConfig": "configuration.StubConfig", "AutoModel": "modeling.Stub"}
    (folder / "config.json").write_text(json.dumps({"model_type": "stub", "auto_map": auto, "width": 6}))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder

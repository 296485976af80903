"""Networks of transformers in the layouts in which the makers of DINO and its successors publish them."""

from typing import Any

import torch


def linear(state: dict[str, torch.Tensor], old: str, new: str) -> dict[str, torch.Tensor]:
    return {f"{new}.{end}": state[f"{old}.{end}"] for end in ("weight", "bias") if f"{old}.{end}" in state}


def makers_layout(state: dict[str, torch.Tensor], layer: str, attention: str, mlp: dict[str, str]) -> dict[str, Any]:
    """Turn a DINOv2 or v3 of transformers, of two layers, into the names that Meta's own code uses."""
    made: dict[str, Any] = {"cls_token": state["embeddings.cls_token"], "mask_token": torch.zeros(1, 1)}
    patch = "embeddings.patch_embeddings"
    made |= linear(state, f"{patch}.projection" if f"{patch}.projection.weight" in state else patch, "patch_embed.proj")
    for i in range(2):
        old, new = f"{layer}.{i}", f"blocks.{i}"
        parts = [linear(state, f"{old}.attention.{which}_proj", which) for which in "qkv"]
        for end in ("weight", "bias"):
            if all(f"{which}.{end}" in part for which, part in zip("qkv", parts, strict=True)):
                joined = [part[f"{which}.{end}"] for which, part in zip("qkv", parts, strict=True)]
                made[f"{new}.attn.qkv.{end}"] = torch.cat(joined)
        made |= linear(state, f"{old}.{attention}", f"{new}.attn.proj")
        for k in (1, 2):
            made |= linear(state, f"{old}.norm{k}", f"{new}.norm{k}")
            made[f"{new}.ls{k}.gamma"] = state[f"{old}.layer_scale{k}.lambda1"]
        for theirs, ours in mlp.items():
            made |= linear(state, f"{old}.mlp.{theirs}", f"{new}.mlp.{ours}")
    final = "norm" if "norm.weight" in state else "layernorm"
    return made | linear(state, final, "norm")

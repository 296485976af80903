"""Vision transformers in plain torch, after the papers of ViT, DINO and DINOv2: their checkpoints and their tokens."""

import torch
from torch.nn.functional import conv2d, gelu, layer_norm, linear, silu, softmax

Tensors = dict[str, torch.Tensor]


def plain_checkpoint(
    dim: int,
    depth: int,
    patch: int,
    *,
    hidden: int | None = None,
    registers: int = 0,
    scaled: bool = False,
    class_place: bool = True,
    seed: int = 5,
) -> Tensors:
    """Return seeded tensors by DINO's names of a network for 224 px; ``hidden``: width within a SwiGLU.

    ``scaled`` is a layer scale; with ``class_place`` the class token has a place in the position embedding.
    """
    random = torch.Generator().manual_seed(seed)

    def made(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random) * 0.05

    places = (224 // patch) ** 2 + class_place
    tensors = {"cls_token": made(1, 1, dim), "pos_embed": made(1, places, dim)}
    tensors |= {"patch_embed.proj.weight": made(dim, 3, patch, patch), "patch_embed.proj.bias": made(dim)}
    if registers:
        tensors["register_tokens"] = made(1, registers, dim)
    first, second = ("w12", "w3") if hidden else ("fc1", "fc2")
    layers = {"norm1": (dim,), "attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim), "norm2": (dim,)}
    layers |= {f"mlp.{first}": (2 * (hidden or 2 * dim), dim), f"mlp.{second}": (dim, hidden or 4 * dim)}
    for block in (f"blocks.{number}" for number in range(depth)):
        for layer, shape in layers.items():
            tensors |= {f"{block}.{layer}.weight": made(*shape), f"{block}.{layer}.bias": made(shape[0])}
        if scaled:
            tensors |= {f"{block}.ls{number}.gamma": made(dim) + 0.5 for number in (1, 2)}
    return tensors | {"norm.weight": made(dim) + 1, "norm.bias": made(dim)}


def plain_tokens(tensors: Tensors, pixels: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the class token, the registers and the patch tokens behind the last norm, (b, n, d)."""
    return normed(tensors, "norm", plain_hidden(tensors, pixels, heads))


def plain_hidden(tensors: Tensors, pixels: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the class token, the registers and the patch tokens behind the last block, (b, n, d)."""
    tokens = _embedded(tensors, pixels)
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    for block in (f"blocks.{number}" for number in range(depth)):
        own = {name.removeprefix(f"{block}."): value for name, value in tensors.items() if name.startswith(f"{block}.")}
        tokens = tokens + _attended(own, normed(own, "norm1", tokens), heads) * own.get("ls1.gamma", 1)
        tokens = tokens + _passed(own, normed(own, "norm2", tokens)) * own.get("ls2.gamma", 1)
    return tokens


def _embedded(tensors: Tensors, pixels: torch.Tensor) -> torch.Tensor:
    weight = tensors["patch_embed.proj.weight"]
    patches = conv2d(pixels, weight, tensors["patch_embed.proj.bias"], stride=weight.shape[-1]).flatten(2).mT
    classes, places = tensors["cls_token"].expand(len(pixels), -1, -1), tensors["pos_embed"]
    if places.shape[1] > patches.shape[1]:
        classes, places = classes + places[:, :1], places[:, 1:]
    registers = tensors.get("register_tokens", patches[:1, :0]).expand(len(pixels), -1, -1)
    return torch.cat([classes, registers, patches + places], 1)


def normed(tensors: Tensors, name: str, tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens (..., d) behind the layer norm of this name."""
    return layer_norm(tokens, tokens.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-6)


def _linear(tensors: Tensors, name: str, tokens: torch.Tensor) -> torch.Tensor:
    return linear(tokens, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _attended(block: Tensors, tokens: torch.Tensor, heads: int) -> torch.Tensor:
    batch, count, dim = tokens.shape
    query, key, value = (
        part.reshape(batch, count, heads, -1).transpose(1, 2)
        for part in _linear(block, "attn.qkv", tokens).chunk(3, dim=-1)
    )
    weights = softmax(query @ key.mT * (dim // heads) ** -0.5, -1)
    return _linear(block, "attn.proj", (weights @ value).transpose(1, 2).reshape(batch, count, dim))


def _passed(block: Tensors, tokens: torch.Tensor) -> torch.Tensor:
    if "mlp.w12.weight" in block:
        gate, value = _linear(block, "mlp.w12", tokens).chunk(2, dim=-1)
        return _linear(block, "mlp.w3", silu(gate) * value)
    return _linear(block, "mlp.fc2", gelu(_linear(block, "mlp.fc1", tokens)))

"""``timm-<model name>``: any model of timm with weights from a local file.

Unlike the tables, looking up such a name imports timm, and so torch: the transform is timm's own data configuration.
"""

import math
from difflib import get_close_matches
from typing import Any

from atlaspatch_core.encoders.adapting import Without
from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.weights import NotGiven
from atlaspatch_core.errors import UnknownName

PREFIX = "timm-"


def timm_encoder(name: str) -> PatchEncoder:
    """Return the declaration of ``timm-<model name>``, whose weights the user must give.

    Raises UnknownName for a model that timm does not have.
    """
    import timm

    model = name.removeprefix(PREFIX)
    if not timm.is_model(model):
        near = get_close_matches(model.split(".")[0], timm.list_models(), n=3)
        raise UnknownName(f"{name}: timm has no model {model}; near names: {', '.join(near) or 'none'}")
    config = _config(model)
    return PatchEncoder(
        name=name,
        architecture=TimmModel(model),
        source=NotGiven(f"name a local file for {name} (.safetensors, .pt, .pth or .bin)"),
        dim=None,
        transform=_transform(config),
        adapt=Without(_classifier(config)),
        license=str(config.get("license") or "that of the weights"),
        homepage="https://github.com/huggingface/pytorch-image-models",
    )


def _config(model: str) -> dict[str, Any]:
    import timm

    config = timm.get_pretrained_cfg(model)
    return {} if config is None else config.to_dict()


def _transform(config: dict[str, Any]) -> Transform:
    """Return timm's evaluation transform; its crop modes are one and the same on square patches."""
    from timm.data.config import resolve_data_config

    data = resolve_data_config(pretrained_cfg=config)
    side = int(data["input_size"][-1])
    return Transform(
        resize=math.floor(side / data["crop_pct"]),
        crop=side,
        interpolation=data["interpolation"],
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
    )


def _classifier(config: dict[str, Any]) -> tuple[str, ...]:
    layers = config.get("classifier") or ()
    return (layers,) if isinstance(layers, str) else tuple(layers)

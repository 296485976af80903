"""What timm states of a model, as JSON: asked in a process of its own, because importing timm loads torch.

``python -m atlaspatch_core.encoders.patch.timm_facts MODEL`` prints it.
"""

import json
import math
import sys
from difflib import get_close_matches
from typing import Any


def ask_timm(model: str) -> dict[str, Any]:
    """Return what timm states of a model: its transform, classifier layers and licence; ``near`` names of none it has.

    ``transform`` is timm's evaluation transform; its crop modes are one and the same on square patches.
    """
    import timm

    try:
        config = timm.get_pretrained_cfg(model) if timm.is_model(model) else None
    except RuntimeError:  # a tag that this architecture does not have
        return {"near": get_close_matches(model, timm.list_models(pretrained=True), n=3)}
    if not timm.is_model(model):
        return {"near": get_close_matches(model.split(".")[0], timm.list_models(), n=3)}
    values = {} if config is None else config.to_dict()
    layers = values.get("classifier") or ()
    return {
        "transform": _transform(values),
        "classifier": [layers] if isinstance(layers, str) else list(layers),
        "license": values.get("license"),
    }


def _transform(config: dict[str, Any]) -> dict[str, Any]:
    from timm.data.config import resolve_data_config

    data = resolve_data_config(pretrained_cfg=config)
    side = int(data["input_size"][-1])
    return {
        "resize": math.floor(side / data["crop_pct"]),
        "crop": side,
        "interpolation": data["interpolation"],
        "mean": list(data["mean"]),
        "std": list(data["std"]),
    }


if __name__ == "__main__":
    json.dump(ask_timm(sys.argv[1]), sys.stdout)

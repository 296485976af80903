"""``timm-<model name>``: any model of timm with weights from a local file.

Looking up such a name imports neither timm nor torch: what timm states of a model is asked once, in another process,
and kept in the user's cache for this version of timm.
"""

import json
import re
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from typing import Any

from atlaspatch_core.encoders.adapting import Without
from atlaspatch_core.encoders.architecture import TimmModel
from atlaspatch_core.encoders.declaration import PatchEncoder, Transform
from atlaspatch_core.encoders.patch import timm_facts
from atlaspatch_core.encoders.weights import NotGiven, cache_folder, write_cached
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.texts import parse_json

PREFIX = "timm-"
FILE_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def timm_encoder(name: str) -> PatchEncoder:
    """Return the declaration of ``timm-<model name>``, whose weights the user must give.

    Raises UnknownName for a model that timm does not have.
    """
    model = name.removeprefix(PREFIX)
    facts = timm_statement(model)
    if "near" in facts:
        raise UnknownName(f"{name}: timm has no model {model}; near names: {', '.join(facts['near']) or 'none'}")
    transform = facts["transform"]
    return PatchEncoder(
        name=name,
        architecture=TimmModel(model),
        source=NotGiven(f"name a local file for {name} (.safetensors, .pt, .pth or .bin)"),
        dim=None,
        transform=Transform(**{**transform, "mean": tuple(transform["mean"]), "std": tuple(transform["std"])}),
        adapt=Without(tuple(facts["classifier"])),
        license=str(facts["license"] or "that of the weights"),
        homepage="https://github.com/huggingface/pytorch-image-models",
    )


@cache
def timm_statement(model: str) -> dict[str, Any]:
    """Return what timm states of a model: from the cache, or asked in another process where timm is not loaded here."""
    if "timm" in sys.modules or not FILE_NAME.fullmatch(model):
        return timm_facts.ask_timm(model)
    file = cache_folder() / "timm" / version("timm") / f"{model}.json"
    with suppress(OSError, ValueError):
        return parse_json(file.read_bytes())
    facts = _ask_elsewhere(model)
    if "near" not in facts:
        write_cached(file, json.dumps(facts))
    return facts


def _ask_elsewhere(model: str) -> dict[str, Any]:
    """Ask in another process; where none can be started, here."""
    command = [sys.executable, "-P", "-m", timm_facts.__name__, model]
    with suppress(OSError, ValueError):
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if answer.returncode == 0:
            return parse_json(answer.stdout)
    return timm_facts.ask_timm(model)

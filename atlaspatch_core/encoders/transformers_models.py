"""Networks that transformers builds from a configuration; it translates checkpoints with older names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.checkpoint import read_checkpoint
from atlaspatch_core.encoders.declaration import StateDict
from atlaspatch_core.encoders.extras import need
from atlaspatch_core.errors import WrongWeights
from atlaspatch_core.texts import parse_json

if TYPE_CHECKING:
    from torch.nn import Module

IGNORED = ("position_ids", "mask_token")
"""Ends of names: counters of older versions, and what only training needs; they may be there or not."""


@dataclass(frozen=True, slots=True)
class TransformersModel:
    """A model of transformers by its classes' names; no code of the weights' repository is run."""

    model: str
    """Class of the network."""
    config: str
    """Class of its configuration."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Arguments of the configuration, fit for JSON. A ``config.json`` beside the weights says what they leave open, and
    must not contradict them."""
    build_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Keyword arguments of the network's class, fit for JSON."""
    keep: tuple[str, ...] = ()
    """Beginnings of the names that are loaded, of a checkpoint of several networks; empty: all."""
    strip: str = ""
    """Beginning that is taken off these names."""
    skip: tuple[str, ...] = ()
    """Beginnings of the names that are left out."""
    section: str | None = None
    """Where in a ``config.json`` of several networks this one stands."""
    positions: str | None = None
    """Tensor (1, 1 + side², d) of position embeddings, which says for what image size the network was trained."""

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the network with arbitrary weights; raises MissingExtra."""
        transformers = need("transformers", "hub", self.model)
        config = getattr(transformers, self.config)(**self.options)
        return getattr(transformers, self.model)(config, **self.build_options)

    def load(self, weights: Path, encoder: str) -> "Module":
        """Return the network with its weights in float32; raises MissingExtra, WrongWeights."""
        import torch

        transformers = need("transformers", "hub", encoder)
        transformers.utils.logging.disable_progress_bar()
        state = self._own_tensors(read_checkpoint(weights, encoder, self.keep))
        config = getattr(transformers, self.config)(**self._options(weights, state, encoder))
        network, report = getattr(transformers, self.model).from_pretrained(
            None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True,
            ignore_mismatched_sizes=True, **self.build_options,
        )  # fmt: skip
        _check(report, encoder)
        return network

    def spec(self) -> dict[str, Any]:
        """Return the classes and the configuration."""
        return {"transformers": self.model, "options": dict(self.options), "build_options": dict(self.build_options)}

    def _own_tensors(self, checkpoint: StateDict) -> StateDict:
        """Return the tensors of this network, by their published names."""
        tensors = {name: value for name, value in checkpoint.items() if not self.keep or name.startswith(self.keep)}
        return {
            name.removeprefix(self.strip): value
            for name, value in tensors.items()
            if not name.endswith("position_ids") and not (self.skip and name.startswith(self.skip))
        }

    def _options(self, weights: Path, state: StateDict, encoder: str) -> dict[str, Any]:
        published = _beside(weights, self.section)
        stated = dict(self.options)
        if self.positions is not None and self.positions in state:
            stated["image_size"] = isqrt(state[self.positions].shape[1] - 1) * self.options["patch_size"]
        for key in stated.keys() & published.keys():
            if published[key] != stated[key] and key != "image_size":
                raise WrongWeights(
                    f"{encoder}: config.json beside {weights.name} says {key} = {published[key]}, not {stated[key]}; "
                    f"name the weights of {encoder}"
                )
        return {**published, **stated}


def _beside(weights: Path, section: str | None) -> dict[str, Any]:
    """Return the numbers, flags and texts of a ``config.json`` beside the weights that belong to the network."""
    path = (weights if weights.is_dir() else weights.parent) / "config.json"
    if not path.is_file():
        return {}
    values = parse_json(path.read_text(encoding="utf-8"))
    values = values.get(section, {}) if section else values
    plain = {"transformers_version", "model_type", "torch_dtype", "dtype", "_name_or_path"}
    return {key: value for key, value in values.items() if key not in plain and isinstance(value, int | float | str)}


def _check(report: Mapping[str, Any], encoder: str) -> None:
    """Raise WrongWeights when a tensor is missing, is not the network's or has another shape."""
    problems = []
    for word, key in (("missing", "missing_keys"), ("unexpected", "unexpected_keys"), ("misshapen", "mismatched_keys")):
        names = sorted(name if isinstance(name, str) else str(name[0]) for name in report[key])
        names = [name for name in names if not name.endswith(IGNORED)]
        if names:
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            problems.append(f"{word} {', '.join(names[:2])}{more}")
    if problems:
        raise WrongWeights(f"{encoder}: the checkpoint is of another network: {'; '.join(problems)}")

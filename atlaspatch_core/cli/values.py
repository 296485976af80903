"""From what was typed to typed values: each command makes one, at its edge."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from atlaspatch_core.cli.fields import section_values
from atlaspatch_core.cli.shared_names import OTSU_WHOLE
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.shards import Shard

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """What encode-slide and encode-patient have beside the fields of a project."""

    output: Path
    patch_encoder_ckpt_path: tuple[tuple[str, Path], ...]
    """Whose weights, and where they lie."""
    fast_mode: bool
    patch_workers: int
    feature_num_workers: int


@dataclass(frozen=True, slots=True)
class RunMode:
    """How a command that encodes is to run."""

    arguments: Mapping[str, object]
    """Name of an option to its value, as it is recorded."""
    output: Path
    force: bool
    """Whether everything is made anew, though it is valid."""
    verbose: bool
    strict: bool
    """Whether warnings are failures."""
    shard: "Shard | None" = None
    """The part of the slides that is taken; None: all."""
    dry_run: bool = False
    quiet: bool = False
    as_json: bool = False
    """Whether a summary in JSON is all that standard output gets."""
    log_file: Path | None = None


def typed_options(kind: type[Options], context: click.Context) -> Options:
    """Return the values of a command's options as a dataclass with fields of their names."""
    return kind(**{field.name: context.params[field.name] for field in fields(kind)})  # pyright: ignore[reportArgumentType]


def run_mode(context: click.Context, **more: object) -> RunMode:
    """Return how a command is to run; ``more`` is recorded beside its options.

    Raises click.UsageError where it is to say much and little.
    """
    typed = {**context.params, **more}
    if typed["verbose"] and typed["quiet"]:
        raise click.UsageError("--verbose and --quiet exclude each other; give one of them.")
    same = {name: typed[name] for name in ("verbose", "strict", "dry_run", "quiet", "as_json", "log_file")}
    return RunMode(typed, typed["output"], force=not typed["skip_existing"], shard=typed.get("shard"), **same)


def check_encoders(context: click.Context) -> None:
    """Raise click.UsageError where no encoder is named."""
    if not (context.params["slide_encoders"] or context.params["patch_encoders"]):
        raise click.UsageError("Missing option '--slide-encoders' (or '--patch-encoders', without an embedding).")


def check_scale(context: click.Context) -> None:
    """Raise click.UsageError unless the scale is stated once, and the weights of each encoder at most once."""
    mag, mpp = context.params["target_mag"], context.params["target_mpp"]
    if mag is None and mpp is None:
        raise click.UsageError("Missing option '--target-mag' (or '--target-mpp').")
    if mag is not None and mpp is not None:
        raise click.UsageError("--target-mag and --target-mpp both state the scale; give one of them.")
    names = [name for name, _ in context.params["patch_encoder_ckpt_path"]]
    if len(set(names)) < len(names):
        raise click.UsageError(f"--patch-encoder-ckpt-path names one encoder twice: {', '.join(sorted(names))}.")


def encode_project(context: click.Context, slides: tuple[Path, ...] = (), manifest: Path | None = None) -> "Project":
    """Return the project that a command line means: one geometry without a name, so that files lie in ``patches``.

    Raises click.UsageError for values that do not go together.
    """
    from atlaspatch_core.config.project import make_project

    typed = typed_options(EncodeOptions, context)
    values = section_values(context)
    if values["tissue"]["segmenter"] == OTSU_WHOLE:
        values["tissue"]["segmenter"] = "otsu"
    of_project, geometry, filters = (values.pop(name) for name in ("", "geometry", "geometry.filters"))
    if typed.fast_mode:
        _check_unused(filters)
    values["slides"]["folders"] = slides
    values.setdefault("patients", {})["manifest"] = manifest
    values["runtime"]["read_workers"] = max(typed.patch_workers, typed.feature_num_workers)
    geometries = (geometry | {"filters": None if typed.fast_mode else filters},)
    weights = dict(typed.patch_encoder_ckpt_path)
    try:
        return make_project(
            {**of_project, **values, "output": typed.output, "geometry": geometries, "weights": weights},
            origin="command line",
        )
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def _check_unused(filters: Mapping[str, object]) -> None:
    """Raise click.UsageError for a filter that fast mode would ignore."""
    for name in ("min_sharpness", "max_pen"):
        if filters[name] is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} reads patches; add --no-fast-mode.")

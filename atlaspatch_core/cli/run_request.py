"""What was typed for ``atlaspatch run``: its own options, and the fields of a project."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click

from atlaspatch_core.cli.fields import SectionValues, section_values
from atlaspatch_core.cli.values import RunMode, run_mode, typed_options


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What ``atlaspatch run`` has beside the fields of a project, and those of these that it must weigh."""

    task: str
    output: Path
    wsi_dir: Path
    mag: float
    patch_size: int
    overlap: int
    coords_dir: Path | None
    segmenter: str
    patch_encoder: tuple[str, ...]
    slide_encoder: tuple[str, ...] | None
    patch_encoder_img_size: int | None
    patch_encoder_ckpt_path: tuple[str, ...]
    gpus: tuple[int, ...]
    gpu: int | None
    max_workers: int | None
    batch_size: int
    seg_batch_size: int | None
    feat_batch_size: int | str | None
    wsi_cache: Path | None
    cache_batch_size: int
    dump_patches: bool
    skip_errors: bool
    device: str
    layout: str

    @property
    def devices(self) -> tuple[str, ...]:
        """One for each worker."""
        from atlaspatch_core.pipeline.workers.devices import devices_of

        return devices_of(self.gpus, self.gpu) if self.gpus or self.gpu is not None else (self.device,)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What was typed."""

    options: RunOptions
    sections: SectionValues
    """Fields of a project, by its tables."""
    typed_names: frozenset[str]
    """Names of the options that the user typed."""
    mode: RunMode

    @classmethod
    def of(cls, context: click.Context) -> Self:
        """Return what was typed."""
        typed = click.core.ParameterSource.COMMANDLINE
        names = [name for name in context.params if context.get_parameter_source(name) is typed]
        mode = run_mode(context, given=names)
        return cls(typed_options(RunOptions, context), section_values(context), frozenset(names), mode)

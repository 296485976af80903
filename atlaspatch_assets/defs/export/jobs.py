"""The job that writes results for other programs. Says what it would write first, and writes it when told to."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import dagster as dg
from pydantic import create_model

from atlaspatch_assets.lib.config import JobConfig
from atlaspatch_assets.lib.declaring import op_job
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.pools import SLIDE_IO
from atlaspatch_assets.lib.results import NOTHING_DONE, table_metadata
from atlaspatch_core.config.project import Project
from atlaspatch_core.consent import executes_plugins
from atlaspatch_core.errors import AtlasPatchError, InvalidProject
from atlaspatch_core.interop.export.fields import DRY_RUN, LAYOUT, ExportFields
from atlaspatch_core.interop.export.layouts import LAYOUTS, plugin_layouts
from atlaspatch_core.validity.recipe import Recipe

if TYPE_CHECKING:
    from atlaspatch_core.interop.export import Exported

JOB_NAME = "export"
SLIDES_BETWEEN_LINES = 100


class ExportConfig(ExportFields, JobConfig):
    """What is exported, for whom, and where to; the folder is an absolute path."""

    dry_run: Annotated[bool, DRY_RUN] = True


def config_of(project: Project) -> type[ExportConfig]:
    """Return the configuration in which only layouts can be chosen that there are, also in plugins of the project.

    A page or a command that only looks knows none of plugin files.
    """
    layouts = (*LAYOUTS, *plugin_layouts(project.plugins if executes_plugins() else ()))
    fields: Any = {"layout": (Annotated[Literal[*layouts], LAYOUT], ...)}  # pyright: ignore[reportInvalidTypeForm]
    return create_model("ExportConfigOfProject", __base__=ExportConfig, **fields)


def build_export(recipe: Recipe) -> dg.JobDefinition:
    """Return the job ``export``."""
    names, config_type = ProjectNames.of(recipe.project), config_of(recipe.project)

    @op_job(
        names,
        JOB_NAME,
        "export_results",
        description="Writes results for TRIDENT, CLAM, torch, AnnData, pandas or QuPath. Results that are not valid "
        "are refused, with the reason; files of others are never overwritten. No slide is opened. Lists what it would "
        "write, and writes it with dry_run: false.",
        op_description="Writes valid results for other programs; what was exported before and is the same is left "
        "alone.",
        pool=SLIDE_IO,
    )
    def export(
        context: dg.OpExecutionContext,
        config: config_type,  # pyright: ignore[reportInvalidTypeForm]
    ) -> None:
        exports = []
        try:
            for exported in _export_outcomes(recipe, config):
                exports.append(exported)
                if exported.why:
                    context.log.warning(exported.why)
                if len(exports) % SLIDES_BETWEEN_LINES == 0:
                    context.log.info("%d slides", len(exports))
        except AtlasPatchError as error:
            raise dg.Failure(str(error), metadata=export_metadata(exports), allow_retries=False) from error
        if config.dry_run:
            context.log.info(NOTHING_DONE)
        elif incomplete := [export for export in exports if not export.fate.fine]:
            text = f"{len(incomplete)} of {len(exports)} slides were not, or not wholly, exported: {incomplete[0].why}"
            raise dg.Failure(text, metadata=export_metadata(exports), allow_retries=False)
        context.add_output_metadata(export_metadata(exports))

    return export


def _export_outcomes(recipe: Recipe, config: ExportConfig) -> "Iterator[Exported]":
    from atlaspatch_core.interop.export import Choice, Options, export_slides

    folder = Path(config.folder).expanduser()
    if not folder.is_absolute():
        raise InvalidProject(
            f"{config.folder}: is no absolute path, and a run has no folder of its own; give one from /"
        )
    return export_slides(
        recipe,
        config.layout,
        folder,
        stems=config.slides or None,
        cohorts=config.cohorts,
        choice=Choice(frozenset(config.encoders) or None, frozenset(config.geometries) or None, config.include_stale),
        options=Options(config.pt, config.column),
        dry_run=config.dry_run,
        force=config.force,
    )


def export_metadata(exports: "Sequence[Exported]") -> dict[str, Any]:
    """Return counts, and a table of the slides, with those first that were not wholly exported."""
    fates = Counter(export.fate for export in exports)
    rows = [
        {
            "slide": export.stem,
            "fate": export.fate.value,
            "files": len(export.written),
            "unchanged": len(export.unchanged),
            "why": export.why,
        }
        for export in sorted(exports, key=lambda export: export.fate.fine)
    ]
    files = [path for export in exports for path in export.written]
    return {
        "slides": len(exports),
        **{fate.value: count for fate, count in fates.items()},
        "files": len(set(files)),
        "exported": table_metadata(rows, slide="string", fate="string", files="int", unchanged="int", why="string"),
        **({"first_file": dg.MetadataValue.path(files[0])} if files else {}),
    }

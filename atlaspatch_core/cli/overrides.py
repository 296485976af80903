"""Options of a command on a project file that take the place of what the file says, for this run."""

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from atlaspatch_core.cli.declaring import group, panel
from atlaspatch_core.cli.fields import FieldOption, field_option, field_options, section_values
from atlaspatch_core.cli.logs import notice
from atlaspatch_core.cli.options import NAMES
from atlaspatch_core.cli.types import Device
from atlaspatch_core.config.input_fields import ProjectFields, SlidesFields
from atlaspatch_core.config.run_fields import PicturesFields, RuntimeFields

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project

OF_NUMBERS = ("mpp", "mpp_csv")
"""Options that decide results, so that 'status' compares them with what the file says."""

OVERRIDES = group(
    panel("Slides", field_options(SlidesFields, only=OF_NUMBERS)),
    panel(
        "Encoders",
        field_option(ProjectFields, "allow_remote_code", **NAMES),
        field_option(ProjectFields, "other_scales"),
    ),
    panel("Pictures", field_options(PicturesFields)),
    panel("Runtime", field_options(RuntimeFields, only=("device",), device={"type": Device()})),
)
"""Options that encode-slide and run have too."""


def _joined(own: object, typed: Any) -> object:
    """Return what was typed behind what the file lists, or in its place where that is no list."""
    return (*own, *typed) if isinstance(own, tuple) else typed


def with_overrides(project: "Project", context: click.Context) -> "Project":
    """Return the project with what was typed in place of what its file says; allowed encoders are added to its own."""
    changes: dict[str, Any] = {}
    for table, values in _typed_values(context).items():
        if table:
            section = getattr(project, table)
            changes[table] = section.model_copy(update=values)
        else:
            changes |= {name: _joined(getattr(project, name), value) for name, value in values.items()}
    return project.model_copy(update=changes)


def tell_overrides(context: click.Context) -> None:
    """Say of each option that decides results that the project file does not know of it."""
    for name in OF_NUMBERS:
        if _is_typed(context, name):
            notice(
                f"--{name.replace('_', '-')} counts for this run alone: 'status' compares results with the project "
                f"file. To keep it, write it there, as {name} under [slides]."
            )


def _typed_values(context: click.Context) -> dict[str, dict[str, Any]]:
    typed = {
        (option.table.name, option.field.name)
        for option in context.command.params
        if isinstance(option, FieldOption) and option.table and _is_typed(context, str(option.name))
    }
    values = {
        table: {name: value for name, value in of_table.items() if (table, name) in typed}
        for table, of_table in section_values(context).items()
    }
    return {table: of_table for table, of_table in values.items() if of_table}


def _is_typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) not in (None, ParameterSource.DEFAULT)

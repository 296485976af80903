"""Options of commands from the fields of a project: names, type, bounds, default and help have one statement."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_origin

import click

from atlaspatch_core.cli.completion import completion_of
from atlaspatch_core.cli.declaring import EXISTING_FILE, Decorator, group
from atlaspatch_core.cli.help import HelpOption
from atlaspatch_core.cli.types import Labels, Number, NumberOr, Several, Whole, flat
from atlaspatch_core.config.fields import table_of
from atlaspatch_core.option import OptionField, field_of, fields_of

SectionValues = dict[str, dict[str, Any]]
"""Table of a project to field to value, before they are checked."""
SEPARATED = "Separated by commas or blanks."
REPEATED = "May be repeated."


class FieldOption(HelpOption):
    """An option of a command that is a field."""

    def __init__(self, *args: Any, fields: type, field: OptionField, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.table = table_of(fields)
        """Where the field stands in a project file; None where it is no option of a project."""
        self.field = field

    def project_value(self, value: Any) -> Any:
        """Return what the field of a project takes for a value of this option."""
        if self.multiple and isinstance(self.type, Several):
            return flat(value)
        return () if value is None and self.field.default == () else value


def field_option(fields: type, name: str, *flags: str, **overrides: Any) -> Decorator:
    """Return the option for a field; ``flags`` and ``overrides`` where a command has other names, type or default."""
    field = field_of(fields, name)
    settings = _settings(field) | overrides
    if several := SEPARATED if getattr(settings.get("type"), "several", False) else REPEATED * settings["multiple"]:
        settings["help"] = f"{settings['help']} {several}"
    aliases = settings.pop("aliases", () if flags else field.option.aliases)
    flags = flags or field.option.flags
    if field.kind is bool and "/" not in flags[0]:
        settings["is_flag"] = True
    return click.option(*flags, *aliases, cls=FieldOption, fields=fields, field=field, aliases=aliases, **settings)


def field_options(
    fields: type, only: Collection[str] = (), without: Collection[str] = (), **overrides: Mapping[str, Any]
) -> Decorator:
    """Return options for the fields of a class that have names on the command line; ``overrides`` by field."""
    named = [field.name for field in fields_of(fields) if field.option.flags]
    chosen = [name for name in named if name not in without and (not only or name in only)]
    return group(*(field_option(fields, name, **overrides.get(name, {})) for name in chosen))


def _settings(field: OptionField) -> dict[str, Any]:
    """Return click's settings for a field."""
    settings: dict[str, Any] = {"help": field.option.help, "show_default": field.option.unset or True}
    if field.option.names_of:
        settings["shell_complete"] = completion_of(field.option.names_of)
    settings |= {"multiple": get_origin(field.kind) in (tuple, list)}
    if field.required:
        settings["required"] = True
    elif field.default not in (None, (), []):
        settings["default"] = field.default
    if field.choices:
        settings["type"] = click.Choice(field.choices)
    elif field.words:
        settings["type"] = NumberOr(field.words, field.least)
    elif field.kind in (int, float) and field.option.bounds:
        settings["type"] = _range(field)
    elif field.kind in (Path, tuple[Path, ...]):
        settings["type"] = EXISTING_FILE
    elif field.kind == tuple[str, ...]:
        settings["type"] = Several()
    elif field.kind == tuple[int | str, ...]:
        settings["type"] = Labels()
    return settings


def _range(field: OptionField) -> click.ParamType:
    option = field.option
    if field.kind is float:
        least, most = (option.gt if option.ge is None else option.ge), (option.lt if option.le is None else option.le)
        return Number(least, most, min_open=option.ge is None, max_open=option.lt is not None)
    least = option.ge if option.gt is None else option.gt + 1
    most = option.le if option.lt is None else option.lt - 1
    return Whole(None if least is None else int(least), None if most is None else int(most))


def section_values(context: click.Context) -> SectionValues:
    """Return table to field to value, of all options of the command that are fields of a project."""
    values: dict[str, dict[str, Any]] = {}
    for option in context.command.params:
        if isinstance(option, FieldOption) and option.table and option.name is not None:
            of_table = values.setdefault(option.table.name, {})
            of_table[option.field.name] = option.project_value(context.params[option.name])
    return values

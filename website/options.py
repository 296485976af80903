"""The table of all options of a project in ``docs/options.md``; ``python -m website.options``.

It is made from the fields of the project and from the commands, so that nobody has to keep it.
"""

from collections.abc import Iterator
from html import escape

from atlaspatch_core.cli.fields import FieldOption
from atlaspatch_core.cli.main import COMMANDS
from atlaspatch_core.config.fields import TABLES, Table
from atlaspatch_core.config.template import toml
from atlaspatch_core.option import OptionField, fields_of
from website.generated import GeneratedPart

HEAD = "| Key | Default | Values | On the command line | Meaning |\n|---|---|---|---|---|"


def options_table() -> str:
    """Return one Markdown table of all options."""
    return "\n".join([HEAD, *(_row(table, field) for table in TABLES for field in fields_of(table.fields))])


def field_options_of(table: Table, field: OptionField) -> Iterator[tuple[str, FieldOption]]:
    """Yield command and option where a command takes a field."""
    for name, command in COMMANDS.items():
        for option in command.params:
            if isinstance(option, FieldOption) and (option.table, option.field.name) == (table, field.name):
                yield name, option


def _row(table: Table, field: OptionField) -> str:
    key = f"{table.name}.{field.name}".removeprefix(".")
    values = " ".join(f"`{word}`" for word in field.choices) or field.option.bounds
    cells = (f"`{key}`", _default(field), values, _commands(table, field), escape(field.option.help, quote=False))
    return f"| {' | '.join(cells)} |"


def _commands(table: Table, field: OptionField) -> str:
    """Return the names of a field's options, each with its commands and the default that these have instead."""
    commands: dict[str, list[str]] = {}
    for command, option in field_options_of(table, field):
        own = isinstance(option.default, str | int | float) and option.default != field.default
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        commands.setdefault(names, []).append(f"{command} (`{toml(option.default)}`)" if own else command)
    return "; ".join(f"{names}: {', '.join(of)}" for names, of in commands.items())


def _default(field: OptionField) -> str:
    if field.required:
        return "required"
    if field.option.unset or field.default is None:
        return field.option.unset or "none"
    return f"`{toml(field.default)}`"


OPTIONS = GeneratedPart(
    "docs/options.md",
    "<!-- options of a project: written by 'make options' -->",
    "<!-- end of the options of a project -->",
    options_table,
)

if __name__ == "__main__":
    OPTIONS.write()

"""The page of all commands with their options, made of the commands themselves."""

from collections.abc import Iterator
from inspect import cleandoc

import click

from atlaspatch_assets.cli.main import cli

HEAD = """# Command line

Made of the commands themselves: what stands here is what `atlaspatch COMMAND --help` says. Options that are keys of
a project file, with their bounds: [options.md](options.md#options-of-a-project).
"""


def command_line_page() -> str:
    """Return the page in Markdown."""
    parts = [HEAD]
    for name, command in sorted(cli.commands.items()):
        if not command.hidden:
            parts += command_section(click.Context(command, info_name=f"atlaspatch {name}"), "##")
    return "\n".join(parts)


def command_section(context: click.Context, mark: str) -> Iterator[str]:
    """Yield the lines of a command, and of the commands below it."""
    command = context.command
    yield f"\n{mark} {context.command_path}\n"
    yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
    yield paragraphs(command.help or "")
    rows = [option_row(option, context) for option in command.params if is_shown(option)]
    if rows:
        yield "\n".join(["\n| option | default | meaning |", "|---|---|---|", *rows])
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from command_section(click.Context(inner, info_name=name, parent=context), f"{mark}#")


def is_shown(parameter: click.Parameter) -> bool:
    """Tell whether ``--help`` lists a parameter."""
    return isinstance(parameter, click.Option) and not parameter.hidden


def option_row(parameter: click.Parameter, context: click.Context) -> str:
    """Return the row of an option."""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    extra = parameter.get_help_extra(context) if isinstance(parameter, click.Option) else {}
    kind = "" if getattr(parameter, "is_flag", False) else f"`{parameter.make_metavar(context)}`"
    default = "required" if parameter.required else extra.get("default", "")
    return f"| {names} {cell(kind)} | {cell(default)} | {cell(getattr(parameter, 'help', '') or '')} |"


def cell(text: str) -> str:
    """Return text as it may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def paragraphs(text: str) -> str:
    """Return the help of a command, which click shows as it is behind ``\\b``, in paragraphs and blocks."""
    blocks = cleandoc(text.partition("\f")[0]).split("\n\n")
    return "\n\n".join(f"```text\n{block[2:]}\n```" if block.startswith("\b\n") else block for block in blocks)

"""Help as it is read: options and commands under headings, with examples, within the width of the terminal.

It is click's own formatter: a library that draws boxes imports rich, which costs every command 0.1 s and more.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any

import click

PANELS = ("Slides", "Output", "Tissue", "Patches", "Encoders", "Pictures", "Runtime", "Messages")
"""Headings of options, in their order; other headings follow in the order of the options."""
SECTIONS = ("Begin", "Process slides", "Look at results", "Results from and for others", "Web interface", "Other")
"""Headings of commands, in their order."""
NARROW = 72
"""Columns below which a text stands under its name instead of beside it."""
NO_PANEL = "Options"


class HelpOption(click.Option):
    """An option under a heading, that may have former names, and may do nothing."""

    def __init__(self, *args: Any, aliases: Sequence[str] = (), does_nothing: str = "", **settings: Any) -> None:
        """``aliases`` are names that are accepted and named last; ``does_nothing`` says why the option has no effect.

        An option that does nothing is left out of the help, and one line on stderr says so where it is used.
        """
        if also := ", ".join(name for alias in aliases for name in alias.split("/")):
            settings["help"] = f"{settings.get('help') or ''} Also {also}."
        if does_nothing:
            settings |= {"hidden": True, "callback": tell_of_no_effect}
        super().__init__(*args, **settings)
        self.aliases = frozenset(name for alias in aliases for name in alias.split("/"))
        self.does_nothing = does_nothing
        self.panel = ""

    def _without_aliases(self) -> click.Option:
        shown = copy(self)
        shown.opts = [name for name in self.opts if name not in self.aliases]
        shown.secondary_opts = [name for name in self.secondary_opts if name not in self.aliases]
        return shown

    def make_metavar(self, ctx: click.Context) -> str:
        """Return the kind of value; the text beside it says the range."""
        return super().make_metavar(ctx).replace(" RANGE", "")

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return names and text."""
        return click.Option.get_help_record(self._without_aliases(), ctx)


def tell_of_no_effect(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Say on stderr that an option that was typed does nothing, and why."""
    source = context.get_parameter_source(option.name) if option.name else None
    if isinstance(option, HelpOption) and source is click.core.ParameterSource.COMMANDLINE:
        click.echo(f"{option.opts[0]} does nothing and may be left out: {option.does_nothing}", err=True)
    return value


class HelpFormatter(click.HelpFormatter):
    """Click's, which puts texts under their names where there is no room beside them."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 28, col_spacing: int = 2) -> None:
        """Write names and texts."""
        if self.width >= NARROW:
            super().write_dl(rows, col_max, col_spacing)
            return
        for name, text in rows:
            self.write_text(name)
            with self.indentation():
                self.write_text(text)


class HelpContext(click.Context):
    """A context whose help this module writes."""

    formatter_class = HelpFormatter


def with_dashes(token: str) -> str:
    """Return the name of an option as click knows it: ``--job_dir`` is ``--job-dir``."""
    return token.replace("_", "-")


class HelpCommand(click.Command):
    """A command with examples, whose options stand under headings and may be typed with underscores."""

    context_class = HelpContext

    def __init__(self, *args: Any, examples: Sequence[str] = (), section: str = SECTIONS[-1], **settings: Any) -> None:
        """``examples`` are lines as they are typed, ``section`` is the heading of the command in the list of all."""
        settings["context_settings"] = {"token_normalize_func": with_dashes} | (settings.get("context_settings") or {})
        super().__init__(*args, **settings)
        self.examples = tuple(examples)
        self.section = section

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does, and the examples."""
        super().format_help_text(ctx, formatter)
        write_examples(self.examples, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a heading for each panel."""
        write_panels(options_by_panel(self.get_params(ctx)), ctx, formatter)


class HelpGroup(click.Group):
    """Commands under headings."""

    context_class = HelpContext
    command_class = HelpCommand

    def __init__(self, *args: Any, examples: Sequence[str] = (), section: str = SECTIONS[-1], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = tuple(examples)
        self.section = section

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the commands do, and the examples."""
        super().format_help_text(ctx, formatter)
        write_examples(self.examples, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's own
        """Write the commands, a heading for each section."""
        commands = {name: command for name, command in self.commands.items() if not command.hidden}
        room = max(20, formatter.width - 6 - max(map(len, commands)))
        sections = {name: getattr(command, "section", SECTIONS[-1]) for name, command in commands.items()}
        headings = sorted(dict.fromkeys(sections.values()), key=_place_among(SECTIONS))
        for heading in headings:
            of_section = [name for name, section in sections.items() if section == heading]
            shown = heading if len(headings) > 1 else "Commands"
            with formatter.section(shown):
                formatter.write_dl([(name, commands[name].get_short_help_str(max(room, 60))) for name in of_section])


def write_examples(examples: Iterable[str], formatter: click.HelpFormatter) -> None:
    """Write lines to be typed; long ones are continued with a backslash, as a shell takes them."""
    lines = list(examples)
    if not lines:
        return
    with formatter.section("Examples"):
        for line in lines:
            for part in folded(line, formatter.width - formatter.current_indent):
                formatter.write(f"{'':>{formatter.current_indent}}{part}\n")


def folded(line: str, width: int) -> list[str]:
    """Return a command line in parts of at most ``width`` letters, that a shell joins again.

    Example:
        >>> folded("atlaspatch status out --all --csv", 25)
        ['atlaspatch status out \\\\', '    --all --csv']
    """
    parts, part = [], ""
    for word in line.split(" "):
        longer = f"{part} {word}" if part.strip() else f"{part}{word}"
        if part.strip() and len(longer) > width - 2:
            parts.append(f"{part} \\")
            longer = f"    {word}"
        part = longer
    return [*parts, part]


def options_by_panel(params: Iterable[click.Parameter]) -> dict[str, list[click.Parameter]]:
    """Return heading to options, headings in their order."""
    panels: dict[str, list[click.Parameter]] = {}
    for param in params:
        if isinstance(param, click.Option):
            panels.setdefault(getattr(param, "panel", "") or NO_PANEL, []).append(param)
    if len(panels) > 1:
        rest = panels.pop(NO_PANEL, [])
        panels.setdefault(PANELS[-1], []).extend(rest)
    return dict(sorted(panels.items(), key=lambda item: _place_among(PANELS)(item[0])))


def write_panels(
    panels: Mapping[str, Sequence[click.Parameter]], ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write options under their headings."""
    for heading, params in panels.items():
        records = [record for param in params if (record := param.get_help_record(ctx))]
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)


def _place_among(names: Sequence[str]) -> Any:
    """Return a key that sorts by place in a list, and what is not there last."""
    return lambda name: names.index(name) if name in names else len(names)

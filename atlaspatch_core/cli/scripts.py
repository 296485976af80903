"""Commands that scripts for TRIDENT call: underscores in the names of options, and several values after one name.

``trident batch -- …`` and ``trident single -- …`` are ``atlaspatch batch -- …`` and ``atlaspatch single -- …``.
"""

import re

import click

from atlaspatch_core.cli.help import HelpCommand, with_dashes

NEGATIVE_NUMBER = re.compile(r"-\d+")


class ScriptCommand(HelpCommand):
    """A command without arguments, whose options may be spelled both ways and, where they are lists, take several."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the name of a list before each of its values, as click wants it: ``--gpus 0 --gpus 1``."""
        lists = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        return super().parse_args(ctx, spread(args, lists))


def spread(args: list[str], lists: set[str]) -> list[str]:
    """Return the arguments with the name of every list before each of its values."""
    out: list[str] = []
    name = ""
    for position, arg in enumerate(args):
        is_option = arg.startswith("-") and len(arg) > 1 and not NEGATIVE_NUMBER.fullmatch(arg)
        if is_option:
            name = arg if with_dashes(arg) in lists else ""
            out.append(arg)
        elif name and position and args[position - 1] != name:
            out += [name, arg]
        else:
            out.append(arg)
    return out


def without_trident_words(args: list[str]) -> list[str]:
    """Return a command line with TRIDENT's commands as ours: ``batch`` and ``single`` are ``run``.

    A ``--`` after the command is dropped. What ``single`` does unasked, and ``run`` does not, is said.

    Example:
        >>> without_trident_words(["single", "--", "--slide_path", "a.svs", "--patch_size=512"])
        ['run', '--task', 'all', '--batch-size', '32', '--wsi-dir', 'a.svs', '--patch_size=512']
    """
    command, *words = args or [""]
    if command not in ("batch", "single", "run", "doctor", "convert"):
        return args
    words = words[1:] if words[:1] == ["--"] else words
    if command == "batch":
        return ["run", *words]
    if command != "single":
        return [command, *words]
    typed = {with_dashes(word.partition("=")[0]) for word in words}
    unasked = [pair for pair in SINGLE if pair[0] not in typed]
    return ["run", *(word for pair in unasked for word in pair), *map(_of_single, words)]


SINGLE = (("--task", "all"), ("--patch-size", "256"), ("--batch-size", "32"))
"""Options of ``run``, and their values in ``single``."""


def _of_single(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"--wsi-dir{equals}{value}" if with_dashes(name) == "--slide-path" else word

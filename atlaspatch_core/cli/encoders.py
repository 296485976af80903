"""``atlaspatch encoders``: which encoders there are, and what each needs on this machine."""

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlaspatch_core.cli.columns import columns
from atlaspatch_core.cli.completion import completion_of
from atlaspatch_core.cli.declaring import EXISTING_FILE, documented_command
from atlaspatch_core.cli.types import Names, flat
from atlaspatch_core.errors import AtlasPatchError, UnknownName

if TYPE_CHECKING:
    from atlaspatch_core.encoders.listing import Listed

HEAD = ("name", "kind", "dim", "made for", "licence", "access", "needs", "weights", "also called")
COMPACT_HEAD = ("dim", "made for", "here", "licence")
"""What fits a terminal of 80 columns, after the name."""
WITHOUT_LICENCE = 72
"""Columns below which the licence is left out, too."""
MARKDOWN_HEAD = ("name", "kind", "dim", "made for", "licence", "access", "needs", "also called", "outputs")
LEGEND = (
    "ready: runs offline. fetch: the first run fetches weights. request: ask for access first.",
    "extra NAME: install atlaspatch[NAME]. --wide has all columns, --json all there is.",
)


@documented_command(
    "encoders",
    section="Begin",
    summary="List the encoders and what each needs",
    examples=(
        "atlaspatch encoders --kind slide",
        "atlaspatch encoders uni_v1 virchow_v2:class",
        "atlaspatch encoders --wide | grep MIT",
    ),
)
@click.argument("names", type=Names(), nargs=-1, shell_complete=completion_of("encoders"))
@click.option("--kind", type=click.Choice(["patch", "slide"]), help="Only encoders of patches, or only of slides.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, with homepages and notes.")
@click.option("--wide", is_flag=True, help="Print all columns, whatever the terminal, as a pipe gets them.")
@click.option("--markdown", is_flag=True, help="Print the table of docs/encoders.md: nothing of this machine.")
@click.option(
    "--feature-plugin",
    "--plugin",
    type=EXISTING_FILE,
    multiple=True,
    help="Python file that declares further encoders; may be repeated. Its code is executed.",
)
def encoders(
    names: tuple[tuple[str, ...], ...],
    kind: str | None,
    as_json: bool,
    wide: bool,
    markdown: bool,
    feature_plugin: tuple[Path, ...],
) -> None:
    """List the encoders: dim, patches they were made for, licence, access, what is installed and found.

    NAMES are those to be listed, in any case of letters, also NAME:OUTPUT; without any it is all of them.

    A terminal that is too narrow for all columns gets those that fit; --wide and --json have all.

    No weights are loaded and the network is not tried. The mean over patches, mean-<patch encoder>, the largest value
    of each feature, max-<patch encoder>, and both, meanmax-<patch encoder>, exist for every patch encoder and are not
    listed.
    """
    try:
        listing = _listing(flat(names), kind, feature_plugin)
    except UnknownName as error:
        raise click.UsageError(str(error)) from error
    except AtlasPatchError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([asdict(encoder) for encoder in listing], indent=2, ensure_ascii=False))
    else:
        click.echo(markdown_table(listing) if markdown else text_table(listing, None if wide else terminal_width()))


def _listing(names: tuple[str, ...], kind: Any, plugin_files: tuple[Path, ...]) -> "list[Listed]":
    """Return the encoders to be listed. Raises UnknownName, InvalidProject."""
    from atlaspatch_core.encoders.listing import listed, listed_by_name
    from atlaspatch_core.encoders.plugins import all_plugins

    plugins = all_plugins(plugin_files)
    return listed_by_name(names, kind, plugins) if names else listed(kind, plugins)


def terminal_width() -> int | None:
    """Return the columns of the terminal; None where the output goes elsewhere, which may have lines of any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def text_table(listing: "list[Listed]", most: int | None = None) -> str:
    """Return columns between blanks, one line for each encoder: all of them, or those that fit ``most`` letters."""
    rows = [HEAD, *((*_columns(encoder, _needs(encoder)), _weights(encoder), _aliases(encoder)) for encoder in listing)]
    wide = columns(rows)
    return "\n".join(wide if most is None or max(map(len, wide)) <= most else compact_tables(listing, most))


def compact_tables(listing: "list[Listed]", most: int) -> list[str]:
    """Return a table for each kind, in lines of at most so many letters; no name is cut."""
    count = len(COMPACT_HEAD) - (most < WITHOUT_LICENCE)
    lines: list[str] = []
    for kind in dict.fromkeys(encoder.kind for encoder in listing):
        of_kind = [encoder for encoder in listing if encoder.kind == kind]
        rows = [
            (f"{kind} encoder", *COMPACT_HEAD[:count]),
            *(_compact_row(encoder)[: count + 1] for encoder in of_kind),
        ]
        lines += [*columns(rows, most=most, uncut=1), ""]
    return [*lines, *(part for text in LEGEND for part in textwrap.wrap(text, most))]


def _compact_row(encoder: "Listed") -> tuple[str, ...]:
    dim = "" if encoder.dim is None else str(encoder.dim)
    made_for = _upstream(encoder) or _geometry(encoder)
    return encoder.name, dim, made_for, _readiness(encoder), encoder.license


def markdown_table(listing: "list[Listed]") -> str:
    """Return the table of docs/encoders.md, a row for each network, with links to the homepages."""
    rows = [MARKDOWN_HEAD, tuple("---" for _ in MARKDOWN_HEAD)]
    listed_names = {encoder.name for encoder in listing}
    for encoder in listing:
        if encoder.network in listed_names:
            continue
        name, *rest = _columns(encoder, encoder.extra or "")
        linked = f"[`{name}`]({encoder.homepage})" if encoder.homepage else f"`{name}`"
        rows.append((linked, *rest, _quoted(encoder.aliases), _outputs(encoder, listing)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _outputs(encoder: "Listed", listing: "list[Listed]") -> str:
    """Return such as ``class+mean; class (768): `h0_mini_cls`, `h0-mini```."""
    further = [other for other in listing if other.network == encoder.name]
    texts = [f"{other.output} ({other.dim}): {_quoted((other.name, *other.aliases))}" for other in further]
    return "; ".join(filter(None, (encoder.output, *texts)))


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _columns(encoder: "Listed", needs: str) -> tuple[str, ...]:
    access = "on request" if encoder.gated else "open"
    code = ", runs its code" if encoder.remote_code else ""
    return (
        encoder.name,
        encoder.kind,
        "" if encoder.dim is None else str(encoder.dim),
        _geometry(encoder),
        encoder.license,
        access + code,
        needs,
    )


def _geometry(encoder: "Listed") -> str:
    """Return such as ``256 px at 20x of uni_v1``."""
    size = "" if encoder.patch_size is None else f"{encoder.patch_size} px"
    scale = "" if encoder.magnification is None else f"at {encoder.magnification:g}x"
    smallest, largest = encoder.scales or (0, 0)
    scales = f"({10 / largest:g}x to {10 / smallest:g}x)" if smallest < largest else ""
    return " ".join(filter(None, (size, scale, scales, _upstream(encoder))))


def _upstream(encoder: "Listed") -> str:
    """Return such as ``of uni_v1``; empty for a patch encoder."""
    if encoder.patch_encoder is None:
        return ""
    return f"of {' and '.join((encoder.patch_encoder, *encoder.further_patch_encoders))}"


def _needs(encoder: "Listed") -> str:
    if encoder.extra is None:
        return ""
    return f"{encoder.extra} ({'installed' if encoder.extra_installed else 'missing'})"


def _readiness(encoder: "Listed") -> str:
    """Return what an encoder needs before it runs here, the first thing first."""
    if encoder.extra is not None and not encoder.extra_installed:
        return f"extra {encoder.extra}"
    if encoder.weights_found:
        return "ready"
    return "request" if encoder.gated else "fetch"


def _weights(encoder: "Listed") -> str:
    return "found" if encoder.weights_found else "not here"


def _aliases(encoder: "Listed") -> str:
    return ", ".join(encoder.aliases)

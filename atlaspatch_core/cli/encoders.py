"""``atlaspatch encoders``: which encoders there are, and what each needs on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import EXISTING_FILE, documented_command
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_core.encoders.declaration import Plugins
    from atlaspatch_core.encoders.listing import Listed

HEAD = ("name", "kind", "dim", "made for", "licence", "access", "needs", "weights", "also called")
MARKDOWN_HEAD = ("name", "kind", "dim", "made for", "licence", "access", "needs", "also called")


@documented_command(
    "encoders",
    section="Begin",
    summary="List the encoders and what each needs",
    examples=(
        "atlaspatch encoders --kind slide",
        "atlaspatch encoders --json",
    ),
)
@click.option("--kind", type=click.Choice(["patch", "slide"]), help="Only encoders of patches, or only of slides.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, with homepages and notes.")
@click.option("--markdown", is_flag=True, help="Print the table of docs/encoders.md: nothing of this machine.")
@click.option(
    "--feature-plugin",
    type=EXISTING_FILE,
    multiple=True,
    help="Python file that declares further encoders; may be repeated. Its code is executed.",
)
def encoders(kind: str | None, as_json: bool, markdown: bool, feature_plugin: tuple[Path, ...]) -> None:
    """List the encoders: dim, patches they were made for, licence, access, what is installed and found.

    No weights are loaded and the network is not tried. The mean over patches, mean-<patch encoder>, exists for every
    patch encoder and is not listed.
    """
    from atlaspatch_core.encoders.listing import listed

    try:
        listing = listed(kind, _plugins(feature_plugin))  # pyright: ignore[reportArgumentType]
    except AtlasPatchError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([asdict(encoder) for encoder in listing], indent=2, ensure_ascii=False))
    else:
        click.echo(markdown_table(listing) if markdown else text_table(listing))


def _plugins(paths: tuple[Path, ...]) -> "Plugins":
    from atlaspatch_core.encoders.plugins import all_plugins

    return all_plugins(paths)


def text_table(listing: "list[Listed]") -> str:
    """Return columns between blanks, one line for each encoder."""
    rows = [HEAD, *((*_columns(encoder, _needs(encoder)), _weights(encoder), _aliases(encoder)) for encoder in listing)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown_table(listing: "list[Listed]") -> str:
    """Return the table of docs/encoders.md, with links to the homepages."""
    rows = [MARKDOWN_HEAD, tuple("---" for _ in MARKDOWN_HEAD)]
    for encoder in listing:
        name, *rest = _columns(encoder, encoder.extra or "")
        linked = f"[`{name}`]({encoder.homepage})" if encoder.homepage else f"`{name}`"
        rows.append((linked, *rest, ", ".join(f"`{alias}`" for alias in encoder.aliases)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


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
    upstream = "" if encoder.patch_encoder is None else f"of {encoder.patch_encoder}"
    return " ".join(filter(None, (size, scale, upstream)))


def _needs(encoder: "Listed") -> str:
    if encoder.extra is None:
        return ""
    return f"{encoder.extra} ({'installed' if encoder.extra_installed else 'missing'})"


def _weights(encoder: "Listed") -> str:
    return "found" if encoder.weights_found else "not here"


def _aliases(encoder: "Listed") -> str:
    return ", ".join(encoder.aliases)

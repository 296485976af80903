"""``atlaspatch weights``: the weights of networks, brought to one folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.completion import completion_of
from atlaspatch_core.cli.declaring import FOLDER
from atlaspatch_core.cli.devices import tell_absent_devices
from atlaspatch_core.cli.help import HelpGroup
from atlaspatch_core.cli.logs import logging_to_stderr
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.operations.doctor.weights import Needed


@click.group(cls=HelpGroup, section="Begin", short_help="Bring weights of networks to this machine")
def weights() -> None:
    """Bring weights to this machine before many others need them."""


@weights.command(
    "fetch",
    short_help="Fetch weights to this machine",
    examples=("atlaspatch weights fetch uni_v2 --to weights", "atlaspatch weights fetch --project atlaspatch.toml"),
)
@click.argument("encoders", nargs=-1, shell_complete=completion_of("encoders"))
@PROJECT
@click.option("--to", "folder", type=FOLDER, help="Folder to fetch to.", show_default="the usual caches")
@click.pass_context
def fetch(context: click.Context, encoders: "tuple[str, ...]", project_file: Path, folder: Path | None) -> None:
    """Fetch the weights of ENCODERS, or of all networks of the project, each once.

    What is there is not fetched again, and what was cut off goes on where it ended. A folder that --to names is laid
    out as the hub and torch have it: HF_HUB_CACHE=FOLDER/hub and TORCH_HOME=FOLDER/torch find it, also with
    HF_HUB_OFFLINE=1.

    Exit code: 0 when all are there, 1 when some cannot be had, 2 for wrong usage.
    """
    from atlaspatch_core.operations.fetching import fetch_weights, folders_of, weights_in

    with logging_to_stderr(False), weights_in(folder):
        networks = _networks(encoders, project_file)
        lacking = 0
        for fetched in fetch_weights(_tell_each(networks)):
            lacking += bool(fetched.fault)
            place = fetched.place or "part of its package"
            click.echo(fetched.fault or f"{fetched.name}: {place}", err=bool(fetched.fault))
    if folder and len(networks) > lacking:
        variables = " ".join(f"{name}={value}" for name, value in folders_of(folder).items())
        click.echo(f"Runs find them by: export {variables} HF_HUB_OFFLINE=1")
    if lacking:
        click.echo(f"The weights of {format_count(lacking, 'network')} could not be had.", err=True)
    context.exit(1 if lacking else 0)


def _networks(encoders: "Sequence[str]", project_file: Path) -> "list[Needed]":
    """Return the networks that are named, or those of the project. Raises click.UsageError."""
    from atlaspatch_core.operations.doctor.weights import networks
    from atlaspatch_core.operations.fetching import named_networks

    try:
        if encoders:
            return named_networks(encoders)
        recipe = recipe_of_file(project_file)
        tell_absent_devices(recipe.project.runtime)
        return networks(recipe)
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def _tell_each(networks: "Sequence[Needed]") -> "Iterator[Needed]":
    """Yield networks, and say of each that it is its turn."""
    for number, network in enumerate(networks, start=1):
        gated = ", given on request only" if network.gated else ""
        click.echo(f"{number} of {len(networks)}: {network.name} (licence {network.license}{gated}) …", err=True)
        yield network

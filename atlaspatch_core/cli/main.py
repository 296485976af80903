"""The command group ``atlaspatch``."""

import click

from atlaspatch_core.cli.adopt import adopt
from atlaspatch_core.cli.audit import audit
from atlaspatch_core.cli.convert import convert
from atlaspatch_core.cli.doctor import doctor
from atlaspatch_core.cli.encode_patient import encode_patient
from atlaspatch_core.cli.encode_slide import encode_slide
from atlaspatch_core.cli.encoders import encoders
from atlaspatch_core.cli.estimate import estimate
from atlaspatch_core.cli.export import export
from atlaspatch_core.cli.help import HelpGroup
from atlaspatch_core.cli.init import init
from atlaspatch_core.cli.inspect import inspect
from atlaspatch_core.cli.overlay import overlay
from atlaspatch_core.cli.report import report
from atlaspatch_core.cli.run import run_command
from atlaspatch_core.cli.scripts import without_trident_words
from atlaspatch_core.cli.slurm import slurm
from atlaspatch_core.cli.status import status
from atlaspatch_core.cli.upload import download, upload
from atlaspatch_core.cli.weights import weights
from atlaspatch_core.cli.working import signals_end_command


class Commands(HelpGroup):
    """Commands that end by Ctrl-C and other signals with one sentence, where they have none of their own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Understand TRIDENT's names of commands, too."""
        return super().parse_args(ctx, without_trident_words(args))

    def invoke(self, ctx: click.Context) -> object:
        """Call a command."""
        with signals_end_command("what was finished stays; run again to go on"):
            return super().invoke(ctx)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    examples=(
        "atlaspatch encode-slide slides --output out --patch-encoders uni_v2 --patch-size 256 --target-mag 20",
        "atlaspatch status out",
    ),
)
@click.version_option(package_name="atlaspatch", prog_name="atlaspatch")
def cli() -> None:
    """Turn whole-slide images into tissue masks, patch coordinates, patch features and slide embeddings."""


cli.add_command(init)
cli.add_command(encoders)
cli.add_command(inspect)
cli.add_command(doctor)
cli.add_command(weights)
cli.add_command(convert)
cli.add_command(encode_slide)
cli.add_command(run_command)
cli.add_command(encode_patient)
cli.add_command(estimate)
cli.add_command(slurm)
cli.add_command(status)
cli.add_command(report)
cli.add_command(overlay)
cli.add_command(audit)
cli.add_command(export)
cli.add_command(adopt)
cli.add_command(upload)
cli.add_command(download)

COMMANDS = dict(cli.commands)
"""Those of the core; an outer layer adds others to the group."""

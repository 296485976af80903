"""What the commands that encode share: logging, Ctrl-C and other signals, and errors as one sentence."""

from collections.abc import Callable
from pathlib import Path

import click

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.logs import logging_to_stderr
from atlaspatch_core.errors import AtlasPatchError, ForeignExit
from atlaspatch_core.operations.tracking.signals import Terminated, termination_raises

INTERRUPTED = 130


def carry_out(context: click.Context, run: Callable[[Hooks], int], output: Path, *, verbose: bool) -> None:
    """Call ``run`` with the hooks and exit with its code; ``output`` is named when it is interrupted."""
    hooks = context.obj if isinstance(context.obj, Hooks) else Hooks()
    with logging_to_stderr(verbose), termination_raises():
        try:
            context.exit(run(hooks))
        except KeyboardInterrupt:
            click.echo(f"\nInterrupted: what was finished stays in {output}; run again to go on.", err=True)
            context.exit(INTERRUPTED)
        except Terminated as error:
            click.echo(f"Ended by {error}: what was finished stays in {output}; run again to go on.", err=True)
            context.exit(error.exit_code)
        except ForeignExit as error:
            raise click.UsageError(str(error)) from error
        except AtlasPatchError as error:
            raise click.ClickException(str(error)) from error

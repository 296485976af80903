"""What commands share that work for long: logging, Ctrl-C and other signals, and errors as one sentence."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import click

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.logs import logging_to_stderr, note, notice
from atlaspatch_core.errors import AtlasPatchError, ForeignExit, MissingDevice
from atlaspatch_core.operations.tracking.signals import Terminated, termination_raises

INTERRUPTED = 130


def carry_out(
    context: click.Context,
    run: Callable[[Hooks], int],
    output: Path,
    *,
    verbose: bool = False,
    log_file: Path | None = None,
) -> None:
    """Call ``run`` with the hooks and exit with its code; ``output`` is named when it is interrupted."""
    hooks = context.obj if isinstance(context.obj, Hooks) else Hooks()
    with logging_to_stderr(verbose, log_file), _noted(context), signals_end_command(what_remains(output)):
        try:
            context.exit(run(hooks))
        except (ForeignExit, MissingDevice) as error:
            raise click.UsageError(str(error)) from error
        except AtlasPatchError as error:
            raise click.ClickException(str(error)) from error


@contextmanager
def _noted(context: click.Context) -> Iterator[None]:
    """Have in the log file what was typed and how it ended."""
    note(f"{context.command_path} {version('atlaspatch')}: {' '.join(sys.argv[1:])}")
    try:
        yield
    except click.exceptions.Exit as end:
        note(f"exit code {end.exit_code}")
        raise
    except BaseException as error:  # whatever ends a command is noted, and goes on
        note(f"ended by {type(error).__name__}: {getattr(error, 'message', error)}")
        raise


def what_remains(output: Path) -> str:
    """Return what a command that is interrupted says of what it has done."""
    return f"what was finished stays in {output}; run again to go on"


@contextmanager
def signals_end_command(remains: str) -> Iterator[None]:
    """Let Ctrl-C and signals end a command with 128 + their number, and one sentence of what was done and ``remains``.

    What was done are the notes of the exception. Raises click.exceptions.Exit.
    """
    with termination_raises():
        try:
            yield
        except KeyboardInterrupt as error:
            notice(f"\nInterrupted: {_told(error, remains)}")
            raise click.exceptions.Exit(INTERRUPTED) from error
        except Terminated as error:
            notice(f"Ended by {error}: {_told(error, remains)}")
            raise click.exceptions.Exit(error.exit_code) from error


def _told(error: BaseException, remains: str) -> str:
    return f"{'; '.join([*getattr(error, '__notes__', ()), remains])}."

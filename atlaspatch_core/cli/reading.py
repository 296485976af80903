"""Commands that only read: they execute no plugin file, whoever names it."""

from functools import wraps
from typing import Any

import click

from atlaspatch_core.consent import executing_nothing


def reads_only(command: click.Command) -> click.Command:
    """Return the command, which executes no plugin from now on; encoders are as results record them."""
    call = command.callback
    assert call is not None

    @wraps(call)
    def read(*arguments: Any, **options: Any) -> Any:
        with executing_nothing():
            return call(*arguments, **options)

    command.callback = read
    return command

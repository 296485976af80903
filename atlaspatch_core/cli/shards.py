"""``--shard``: which part of the slides a command takes."""

import os
from typing import Any

import click

from atlaspatch_core.cli.fields import field_option
from atlaspatch_core.discovery.shards import Shard, ShardFields
from atlaspatch_core.errors import InvalidShard


class ShardType(click.ParamType):
    """``i/n``, a part of the slides."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Return the part."""
        try:
            return value if isinstance(value, Shard) else Shard.parse(value)
        except InvalidShard as error:
            self.fail(str(error), param, ctx)


def shard_of_task() -> Shard | None:
    """Return the part of the task of a Slurm array that this process is. Raises click.UsageError."""
    try:
        return Shard.of_array(os.environ)
    except InvalidShard as error:
        raise click.UsageError(str(error)) from error


SHARD_OPTION = field_option(ShardFields, "shard", type=ShardType(), default=shard_of_task)
"""The option of every command whose slides may be worked on by several processes."""

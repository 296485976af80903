"""The console script ``atlaspatch``: the commands of the core, and those that need Dagster.

Dagster is imported inside the commands, so that ``--help`` and a plain ``encode-slide`` do not wait for it.
"""

import gc
import logging
import sys
from contextlib import suppress

from atlaspatch_assets.cli.backfill import backfill
from atlaspatch_assets.cli.carry_over import carry_over
from atlaspatch_assets.cli.dead_runs import end_dead_runs
from atlaspatch_assets.cli.hooks import make_hooks
from atlaspatch_assets.cli.materialize import materialize
from atlaspatch_assets.cli.pages import pages
from atlaspatch_assets.cli.record import record
from atlaspatch_assets.cli.ui import ui
from atlaspatch_assets.cli.up import up
from atlaspatch_core.cli.main import cli
from atlaspatch_core.operations.tracking.signals import exit_at_signals, send_lost_signals_again

COMMANDS = (materialize, backfill, carry_over, ui, up, pages, record, end_dead_runs)


def main() -> None:
    """Run ``atlaspatch``. ``status`` and ``report`` ask the Dagster instance what failed, ``estimate`` how fast runs
    were, and ``doctor`` looks at it. With ``DAGSTER_HOME`` set, ``encode-slide`` tells it what it made.
    """
    # it logs tracebacks of Ctrl-C and signals that end a command while a connection is closed, and goes on raising them
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    send_lost_signals_again()
    try:
        cli(obj=make_hooks())
    finally:
        with suppress(OSError):  # nobody reads any more
            sys.stdout.flush()
        gc.freeze()  # else Python ends by going through all that torch made, for half a second
        exit_at_signals()


for command in COMMANDS:
    cli.add_command(command)

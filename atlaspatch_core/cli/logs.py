"""Log records to stderr, for as long as a command runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click

OURS = ("atlaspatch_core", "atlaspatch_assets")
DETAILED = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class OneLine(logging.Formatter):
    """Level and message; a traceback is for those who ask for it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        hint = " (-v shows the traceback)" if record.exc_info or record.exc_text else ""
        return f"{record.levelname}: {' '.join(record.getMessage().split())}{hint}"


class Stderr(logging.Handler):
    """Writes each record to what is stderr at that moment; an equal warning only once."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        message = record.getMessage()
        if record.levelno != logging.WARNING or message not in self.warned:
            click.echo(self.format(record), err=True)
        self.warned.update([message] if record.levelno == logging.WARNING else [])


@contextmanager
def logging_to_stderr(verbose: bool) -> Iterator[None]:
    """Show our warnings and errors; with ``verbose`` every detail, and the warnings of the libraries beneath."""
    handler = Stderr(logging.Formatter(DETAILED) if verbose else OneLine())
    others = logging.NullHandler()  # without any handler, Python writes what libraries log to stderr
    names = (*OURS, "py.warnings") if verbose else OURS
    before = {name: logging.getLogger(name).level for name in names}
    logging.captureWarnings(True)
    for name in names:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.WARNING)
    if not verbose:
        logging.getLogger().addHandler(others)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(others)
        logging.captureWarnings(False)
        for name, level in before.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)

"""Log records to stderr, for as long as a command runs."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

NOTICES = "atlaspatch_core.notices"
"""Logger of what is printed anyway, so that a log file has it too."""
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
        if record.name == NOTICES:
            return
        if record.levelno != logging.WARNING or message not in self.warned:
            click.echo(self.format(record), err=True)
        self.warned.update([message] if record.levelno == logging.WARNING else [])


def notice(line: str) -> None:
    """Print a line to stderr, and to the log file where there is one."""
    click.echo(line, err=True)
    note(line)


def note(line: str) -> None:
    """Have a line that is printed elsewhere in the log file too."""
    logging.getLogger(NOTICES).info(line)


@contextmanager
def logging_to_stderr(verbose: bool, log_file: Path | None = None) -> Iterator[None]:
    """Show our warnings and errors; with ``verbose`` every detail, and the warnings of the libraries beneath.

    All of it, and what is noted, is added to a ``log_file``. Raises click.UsageError where that cannot be written.
    """
    shown = Stderr(logging.Formatter(DETAILED) if verbose else OneLine())
    shown.setLevel(logging.DEBUG if verbose else logging.WARNING)
    handlers = dict.fromkeys((*OURS, "py.warnings") if verbose else OURS, (shown,))
    if log_file:
        to_file = _file_handler(log_file)
        handlers = {name: (*handlers.get(name, ()), to_file) for name in (*OURS, "py.warnings")}
    logging.captureWarnings(True)
    others = () if verbose else (logging.NullHandler(),)  # without any, Python writes what libraries log to stderr
    try:
        with ExitStack() as stack:
            for name, its_handlers in (*handlers.items(), ("", others)):
                level = logging.DEBUG if verbose or log_file else logging.WARNING
                stack.enter_context(_handled(logging.getLogger(name), its_handlers, level if name else None))
            yield
    finally:
        logging.captureWarnings(False)


@contextmanager
def _handled(logger: logging.Logger, handlers: Iterable[logging.Handler], level: int | None) -> Iterator[None]:
    """Give a logger handlers and a level for a while."""
    before = logger.level
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(before if level is None else level)
    try:
        yield
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(
            f"--log-file {path} cannot be written ({error.strerror}); name a file in a folder that can"
        ) from error
    handler.setFormatter(logging.Formatter(DETAILED))
    return handler

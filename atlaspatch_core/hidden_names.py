"""Names that nobody is to read: other words stand in their place, in what this process says from then on.

Where slides are called by pseudonyms, libraries follow links to files and quote what stands in them. Errors and log
records pass through here; what they quote of others is left out of them.
"""

import logging
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

MOST_HIDDEN = 10_000
"""Names that are hidden at once: those of the slides that were looked at last."""
LEAST_SIGNS = 3
"""Of a name that is told from other words; of digits alone, five."""
LIBRARIES = ("tifffile", "pydicom", "wsidicom", "PIL", "zarr", "fsspec", "openslide", "pyvips", "imagecodecs", "py")
"""Loggers whose messages may quote a slide; ``py.warnings`` is that of warnings."""
QUOTING = r"(tifffile|pydicom|wsidicom|PIL|zarr|openslide|imagecodecs|atlaspatch_core\.slides)"
"""Modules of which warnings may."""
UNSAID = "what %s says of a slide is not shown, as it may quote it"

_hidden: dict[str, str] | None = None
"""None until names are to be hidden; replaced, never changed, as other threads read it."""
_plain_record = logging.getLogRecordFactory()


def hide_names(names: Mapping[str, str]) -> None:
    """Have this process say other words in the place of these names, and nothing that libraries quote of slides."""
    global _hidden
    if _hidden is None:
        warnings.filterwarnings("ignore", module=QUOTING)
    hidden = {name: word for name, word in (_hidden or {}).items() if name not in names}
    hidden |= {name: word for name, word in names.items() if _is_telling(name)}
    _hidden = dict(list(hidden.items())[-MOST_HIDDEN:])
    if logging.getLogRecordFactory() is not _record_without_names:
        global _plain_record
        _plain_record = logging.getLogRecordFactory()
        logging.setLogRecordFactory(_record_without_names)


def are_names_hidden() -> bool:
    """Tell whether this process works on slides under pseudonyms."""
    return _hidden is not None


def without_hidden_names(text: str) -> str:
    """Return a text with other words in the place of hidden names, the longest first."""
    names = _hidden or {}
    for name in sorted((name for name in names if name in text), key=len, reverse=True):
        text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", lambda _, word=names[name]: word, text)
    return text


def without_quotations(text: str, error: BaseException) -> str:
    """Return the text of an error without the words of the errors of libraries that it came of, but for their kinds."""
    for cause in causes_of(error):
        words = " ".join(str(cause).split())
        for quoted in (repr(cause), str(cause), words):
            if len(quoted) >= LEAST_SIGNS:
                text = text.replace(quoted, type(cause).__name__)
    return text


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that an error came of, the nearest first."""
    seen = {id(error)}
    while (cause := error.__cause__ or error.__context__) is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        error = cause


def shown_message(record: logging.LogRecord) -> str:
    """Return the message of a record without hidden names; what a library says is not shown while names are hidden."""
    library = str(record.name).partition(".")[0]
    return (
        UNSAID % library if are_names_hidden() and library in LIBRARIES else without_hidden_names(record.getMessage())
    )


def _is_telling(name: str) -> bool:
    return len(name) >= (5 if name.isdecimal() else LEAST_SIGNS)


def _record_without_names(*args: Any, **settings: Any) -> logging.LogRecord:
    """Return a log record without hidden names, with kinds of errors and places in the code for a traceback."""
    record = _plain_record(*args, **settings)
    record.msg, record.args = shown_message(record), ()
    if record.exc_info and record.exc_info[1]:
        record.exc_text, record.exc_info = _traceback_without_words(record.exc_info[1]), None
    return record


def _traceback_without_words(error: BaseException) -> str:
    chain = [error, *causes_of(error)]
    parts = ["".join(traceback.format_tb(one.__traceback__)) + type(one).__name__ for one in reversed(chain)]
    return without_hidden_names("\n\nwhich led to\n\n".join(parts))

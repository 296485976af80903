"""What is recorded of the slides of a folder, as one table."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from atlaspatch_core.api.embedding_tables import warn_left_out
from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "path",
    "mpp",
    "mpp_source",
    "magnification",
    "width",
    "height",
    "levels",
    "reader",
    "vendor",
    "stain",
)
"""Of the table, after its index, the stem."""


def slide_table(store: Store, stems: Iterable[str]) -> "pd.DataFrame":
    """Return a row for each of these slides that was ever opened; one warning names records that cannot be read."""
    import pandas as pd

    rows: dict[str, dict[str, object]] = {}
    unreadable: list[str] = []
    for stem in stems:
        try:
            record = store.read_record(stem).slide
        except UnreadableOutput:
            unreadable.append(stem)
            continue
        if record:
            rows[stem] = slide_row(record.info)
    warn_left_out({"whose record cannot be read": unreadable})
    index = pd.Index(list(rows), name="stem", dtype=object)
    return pd.DataFrame(list(rows.values()), index=index, columns=pd.Index(COLUMNS))


def slide_row(info: SlideInfo) -> dict[str, object]:
    """Return the row of a slide, its levels as their number."""
    values: dict[str, object] = {column: getattr(info, column) for column in COLUMNS}
    return values | {"levels": len(info.levels)}

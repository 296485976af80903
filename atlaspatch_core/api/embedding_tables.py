"""Embeddings of a cohort as one table, with the columns of a table of labels."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from atlaspatch_core.api.stored_outputs import StoredOutput
from atlaspatch_core.operations.label_tables import LabelSource, LabelTable, label_table, some_names
from atlaspatch_core.validity.outcome import OF_CASES, OutputKey

if TYPE_CHECKING:
    import pandas as pd


class ResultsWarning(UserWarning):
    """Something of a folder or of a table is left out."""


def embedding_table(
    step: OutputKey, usable: Mapping[str, StoredOutput], refused: Mapping[str, str], labels: LabelSource | None
) -> "pd.DataFrame":
    """Return the labels and the embeddings of the slides, or cases, that have both; one warning names all others.

    ``attrs["left_out"]`` of the table says the reason of each.
    """
    import pandas as pd

    index = "case_id" if step.kind == OF_CASES else "stem"
    table = label_table(labels, {*usable, *refused}) if labels else None
    unlabelled = [] if table is None else [stem for stem in usable if stem not in table.rows]
    stems = [stem for stem in usable if stem not in unlabelled]
    warn_left_out(left_out_groups(refused, unlabelled, table))
    dim = max((usable[stem].dim for stem in stems), default=0)
    vectors = np.array([usable[stem].read() for stem in stems], np.float32).reshape(len(stems), dim)
    columns = pd.Index([f"{step.encoder}_{number}" for number in range(dim)])
    frame = pd.DataFrame(vectors, index=pd.Index(stems, name=index, dtype=object), columns=columns)
    if table is not None:
        rows = table.frame.iloc[[table.rows[stem] for stem in stems]].set_axis(frame.index)
        frame = pd.concat([rows.drop(columns=index, errors="ignore"), frame], axis=1)
    without = dict.fromkeys(unlabelled, f"has no row in {table.name}" if table else "")
    frame.attrs.update(left_out=dict(refused) | without)
    return frame


def left_out_groups(
    refused: Mapping[str, str], unlabelled: Sequence[str], table: LabelTable | None
) -> dict[str, Sequence[str]]:
    """Return what to say of each kind of what is left out to its names; some kinds may have none."""
    groups: dict[str, Sequence[str]] = {"not usable": [f"{stem}: {why}" for stem, why in refused.items()]}
    if table is not None:
        groups |= {f"without a row in {table.name}": unlabelled, f"in {table.name} alone": table.unmatched}
    return groups


def warn_left_out(groups: Mapping[str, Sequence[str]]) -> None:
    """Say once what is left out; nothing where all is there."""
    clauses = [f"{len(names)} {what} ({some_names(names)})" for what, names in groups.items() if names]
    if clauses:
        warnings.warn(f"left out: {'; '.join(clauses)}", ResultsWarning, stacklevel=4)

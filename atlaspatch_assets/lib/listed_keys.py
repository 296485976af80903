"""Slides or cases that somebody lists by hand: a name that nothing has is refused before it becomes a partition."""

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

import dagster as dg

from atlaspatch_assets.lib.names import PartitionKind

MOST_NAMED = 3
"""Names that are told of, and near names of each."""


def refuse_unknown(
    kind: PartitionKind, instance: dg.DagsterInstance, listed: Sequence[str], find_names: Callable[[], Iterable[str]]
) -> None:
    """Raise dagster.Failure, naming what is called alike, where a name is no partition and not among ``find_names``.

    Those are what the project could have beside its partitions; they are asked for only where they are needed.
    """
    name = str(kind.definition.name)
    new = [key for key in dict.fromkeys(listed) if not instance.has_dynamic_partition(name, key)]
    names = set(find_names()) if new else set()
    if unknown := [key for key in new if key not in names]:
        raise dg.Failure(_describe(kind, unknown, names | kind.keys(instance)), allow_retries=False)


def _describe(kind: PartitionKind, unknown: Sequence[str], names: Iterable[str]) -> str:
    by_folded = {name.casefold(): name for name in sorted(names)}
    clauses = [_clause(key, by_folded) for key in unknown[:MOST_NAMED]]
    more = [f"{len(unknown) - MOST_NAMED} more"] if len(unknown) > MOST_NAMED else []
    shown = ", ".join([*clauses, *more])
    return f"the project has no {kind.noun} called {shown}; nothing was registered or run: correct the name, and launch"


def _clause(key: str, by_folded: dict[str, str]) -> str:
    near = get_close_matches(key.casefold(), by_folded, n=MOST_NAMED)
    return f"{key!r} (near: {', '.join(by_folded[folded] for folded in near)})" if near else repr(key)

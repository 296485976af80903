"""Which columns say of which patch a row is: its place, or its number."""

from collections.abc import Iterator

from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores.cells import are_numbers
from atlaspatch_core.interop.scores.columns import Columns
from atlaspatch_core.operations.label_tables import find_column
from atlaspatch_core.tables import bare_name

PLACES = (("x", "y"), ("xcoord", "ycoord"), ("coordx", "coordy"), ("x0", "y0"), ("xmin", "ymin"), ("left", "top"))
"""What the columns of a patch's top-left corner, level-0 px, are called, without capitals and signs."""
ROW = ("row", "patch", "index", "patchindex", "")
"""What a column is called that numbers the patches from 0 on; pandas writes one without a name."""
OF_PLACES = ("coord", "centroid")
"""What is part of the name of a column of places, whatever it holds."""
OF_NUMBERED_PLACES = ("position", "location")
"""The same, where it holds numbers: in words it may be a part of the body."""


def free_columns(columns: Columns) -> list[str]:
    """Return the columns that can be scores: neither places nor, unless there is nothing else, numbers of patches."""
    groups = {_group(name) for name in columns}
    places = {name for group in groups for name in _places(columns, group)}
    others = [name for name in columns if name not in places]
    free = [name for name in others if bare_name(name.rpartition("/")[2]) not in ROW]
    return free or (others if places else [])


def find_keys(columns: Columns, name: str, about: str) -> tuple[str, ...]:
    """Return the columns x and y, or row, that tell of which patch each row of a column is; none for their order.

    In HDF5 they are in the group of the column, above it, or the only ones in the file. Raises InvalidScores where
    several are elsewhere, or a column seems to hold places under a name that is not known.
    """
    near = [*_groups_above(name)]
    places = [pair for group in near if (pair := _places(columns, group))]
    keys = places or [(row,) for group in near if (row := _row(columns, group)) not in (None, name)]
    if keys:
        return keys[0]
    if pair := _far_places(columns, name, about):
        return pair
    _check_order({other: columns[other] for other in columns if other != name}, about)
    return ()


def _far_places(columns: Columns, name: str, about: str) -> tuple[str, ...]:
    """Return the only places that are in any group. Raises InvalidScores where several are."""
    far = [keys for group in dict.fromkeys(map(_group, columns)) if (keys := _places(columns, group))]
    if len(far) > 1:
        raise InvalidScores(
            f"{about}: {far[0][0]} and {far[1][0]} say where patches lie, and neither is in the group of {name}; "
            "put coords into that group"
        )
    return far[0] if far else ()


def _group(name: str) -> str:
    return name.rpartition("/")[0]


def _groups_above(name: str) -> Iterator[str]:
    """Yield the group of a dataset, then those around it."""
    while name:
        name = _group(name)
        yield name


def _of_group(columns: Columns, group: str) -> dict[str, str]:
    """Return the columns of one group: what each is called there, and in the file."""
    return {name.rpartition("/")[2]: name for name in columns if _group(name) == group}


def _places(columns: Columns, group: str) -> tuple[str, ...]:
    own = _of_group(columns, group)
    pairs = ([find_column(own, [name]) for name in names] for names in PLACES)
    return next((tuple(own[str(name)] for name in pair) for pair in pairs if None not in pair), ())


def _row(columns: Columns, group: str) -> str | None:
    own = _of_group(columns, group)
    row = find_column(own, ROW)
    return None if row is None else own[row]


def _check_order(others: Columns, about: str) -> None:
    """Raise InvalidScores where the order is to count and a column seems to say otherwise."""
    bare = {part: name for name in others for part in map(bare_name, name.split("/"))}
    seeming = (name for part, name in bare.items() if _seems_a_place(part, bare, is_number=are_numbers(others[name])))
    if name := next(seeming, None):
        raise InvalidScores(
            f"{about}: column {name} seems to say where patches lie, by a name that is not known; call the top-left "
            "corners in level-0 px x and y, or add a column row that counts patches from 0 on"
        )


def _seems_a_place(part: str, bare: dict[str, str], *, is_number: bool) -> bool:
    words = (*OF_PLACES, *OF_NUMBERED_PLACES) if is_number else OF_PLACES
    pairs = (part[:at] + "y" + part[at + 1 :] for at, sign in enumerate(part) if sign == "x")
    return part == "xy" or any(word in part for word in words) or any(pair in bare for pair in pairs)

"""What the channels of an image are called and coloured: red, green and blue in some order, grey, or fluorescence."""

import re
from collections.abc import Sequence

NAMES = {"r": 0, "red": 0, "g": 1, "green": 1, "b": 2, "blue": 2}
NOISE = re.compile(r"channel|colou?r|component|band|[\d\s:_=#()\[\]-]+", re.IGNORECASE)
"""What may stand beside the name of a colour."""
NEUTRAL = re.compile(
    r"(channel|ch|c|sample)?[\s:_=#-]*\d*([\s:_-]+\d+)*|rgb|rgba|brightfield|bright field|tl brightfield|bf|h ?& ?e|he|"
    r"gr[ae]y|gr[ae]yscale|luminance|intensity|transmitted light|tl|none",
    re.IGNORECASE,
)
"""Names that say nothing of fluorescence: numbers, or light through the glass."""
DYES = re.compile(
    r"dapi|hoechst|fitc|tritc|cy ?[2357](\.5)?|alexa|af ?\d{3}|opal|gfp|rfp|yfp|cfp|mcherry|texas ?red|rhodamine|"
    r"draq5|sytox|propidium|atto|autofluorescence|fluor",
    re.IGNORECASE,
)
PRIMARIES = {"ff0000": 0, "00ff00": 1, "0000ff": 2}


def colour_order(names: Sequence[str], colours: Sequence[str]) -> tuple[int, int, int]:
    """Return where red, green and blue stand among three channels.

    Args:
        names: One a channel; empty where none is stated.
        colours: Six hex digits a channel; empty where none is stated.

    Raises:
        ValueError: They are no red, green and blue, with names and colours.
    """
    named = [NAMES.get(NOISE.sub("", name).lower()) for name in names]
    coloured = [PRIMARIES.get(colour.strip().lower().lstrip("#")[:6]) for colour in colours]
    is_coloured = any(colours) and (None in named or len({colour.lower() for colour in colours}) > 1)
    description = f"{', '.join(name.strip() or '?' for name in names)}" + (
        f" in {', '.join(colours)}" if any(colours) else ""
    )
    if None in named and not all(NEUTRAL.fullmatch(name.strip()) for name in names):
        raise ValueError(f"three channels called {description}")
    by_name = named if None not in named and names else None
    by_colour = coloured if is_coloured else None
    if by_name and by_colour and by_name != by_colour:
        raise ValueError(f"three channels whose names and colours contradict each other: {description}")
    places = by_name or by_colour or [0, 1, 2]
    if sorted(place if place is not None else -1 for place in places) != [0, 1, 2]:
        raise ValueError(f"three channels called {description}")
    return places.index(0), places.index(1), places.index(2)


def check_grey(name: str, colour: str) -> None:
    """Raise ValueError where the name or the colour of the only channel is that of fluorescence."""
    digits = colour.strip().lower().lstrip("#")[:6]
    is_coloured = len(digits) == 6 and len({digits[:2], digits[2:4], digits[4:]}) > 1
    if DYES.search(name) or is_coloured:
        raise ValueError(f"one channel called {name.strip() or '?'}" + (f" in {colour}" if colour else ""))

"""What decides a tissue mask, whatever the slide."""

from dataclasses import dataclass

from atlaspatch_core.option import check_bounds, stated

SEGMENTER_NAMES = ("otsu", "otsu_tiled", "sam2", "hest", "grandqc")
"""The table of segmenters: the module of each in ``segmenters`` has its name, and declares it in capitals.

Reading it imports none of them, so that help texts can name them.
"""


@dataclass(frozen=True, slots=True)
class TissueSpec:
    """What decides a tissue mask, whatever the slide. Every field that is not None is part of the fingerprint."""

    segmenter: str = stated(
        "otsu",
        f"What finds the tissue: {', '.join(SEGMENTER_NAMES)}. Plugins may bring others. otsu and otsu_tiled need no "
        "weights; those of networks are local files that are named, or lie on the Hugging Face hub.",
        flags=("--segmenter",),
        names_of="segmenters",
    )
    overview_mpp: float = stated(
        8.0,
        "Scale of the overview in which tissue is sought, µm per px; some networks have their own.",
        ge=0.5,
        le=64,
        unit="µm per px",
    )
    closing_um: float = stated(16.0, "Gaps narrower than twice this are closed, µm.", ge=0)
    # a patch of 256 px at 20x covers 16,384 µm²
    min_tissue_um2: float = stated(
        20_000.0, "Smaller pieces of tissue are dropped, µm².", flags=("--min-tissue-area",), ge=0
    )
    # an adipocyte covers 2,000 to 10,000 µm²
    min_hole_um2: float = stated(10_000.0, "Smaller holes are filled, µm².", ge=0)
    min_tissue_share: float = stated(
        0.0,
        "Least area of one piece of tissue, its holes included, as a share of the slide's area; smaller pieces are "
        "ignored. That of a single patch is another option. A supplied mask is taken as it is, but for the rule "
        "atlaspatch.",
        flags=("--tissue-thresh",),
        ge=0,
        le=1,
    )
    simplify_um: float = stated(4.0, "How far a simplified outline may lie from the true one, µm.", ge=0)
    seg_conf_thresh: float = stated(
        0.5,
        "A network calls tissue what it gives a higher probability. The other segmenters do not use it.",
        flags=("--seg-conf-thresh",),
        gt=0,
        lt=1,
    )
    remove_holes: bool = stated(
        True,
        "Holes of 0.01 mm² and more (min_hole_um2) are no tissue; otherwise all holes are filled, which is TRIDENT's "
        "default.",
        flags=("--remove-holes/--fill-holes",),
    )
    remove_artifacts: bool = stated(
        False,
        "Take folds, foreign bodies, pen marks, air bubbles and blur away from the tissue, by GrandQC's artefact "
        "network. Nothing is ever added.",
        flags=("--remove-artifacts",),
    )
    remove_penmarks: bool = stated(
        False,
        "Take away all that lies under pen strokes, so that no filled hole brings it back. Without it ink stays tissue "
        "where the stroke is thinner than 0.3 mm or the holes are filled; otsu takes other ink away anyway. The other "
        "segmenters ask GrandQC's artefact network.",
        flags=("--remove-penmarks",),
    )

    def __post_init__(self) -> None:
        """Raise InvalidProject for a value beyond its bounds."""
        check_bounds(self, "tissue")

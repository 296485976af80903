"""From a geometry and a slide's scale to the level and the number of px to read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the patches of one geometry are cut from one slide. Made once by ``choose_sampling``; everyone reads it here."""

    patch_size: int
    """Side of a patch as encoders see it, px."""
    level: int
    """Level that is read."""
    read_size: int
    """Side of the square that is read, px of ``level``; it is area-averaged to ``patch_size`` where they differ."""
    patch_size_level0: int
    """Side of a patch, level-0 px."""
    step_size_level0: int
    """Distance of neighbouring patches, level-0 px."""
    mpp: float
    """µm per px of the patch as encoders see it."""

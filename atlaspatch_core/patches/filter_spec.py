"""Which patches are dropped by their pixels."""

from dataclasses import dataclass

from atlaspatch_core.option import check_bounds, stated


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """Which patches are dropped; the defaults are AtlasPatch's. Every field that is not None decides the coords."""

    white_thresh: int = stated(
        15, "A bright px of less saturation (0 to 255) is white.", flags=("--white-thresh",), gt=0
    )
    black_thresh: int = stated(50, "A px of less gray value (0 to 255) is black.", flags=("--black-thresh",), gt=0)
    min_sharpness: float | None = stated(
        None,
        "Drop blurred patches, of less than this share of fine detail: the variance of the Laplacian over that of the "
        "gray values, at 1 µm per px. Sharp tissue has 0.2 to 2.5; 0.15 is a good start.",
        flags=("--min-sharpness",),
        gt=0,
        unset="off",
        example=0.15,
    )
    max_pen: float | None = stated(
        None,
        "Drop patches with a larger share under ink. Ink is sought on the slide's overview.",
        flags=("--max-pen",),
        ge=0,
        lt=1,
        unset="off",
        example=0.2,
    )

    def __post_init__(self) -> None:
        """Raise InvalidProject for a threshold that no patch, or every patch, can meet."""
        check_bounds(self)

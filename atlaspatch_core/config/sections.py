"""The tables of a project file."""

import os
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from atlaspatch_core.patches.filters import FilterSpec
from atlaspatch_core.patches.grid_spec import COARSEST_MPP, LARGEST_PATCH, LARGEST_STEP, GridSpec
from atlaspatch_core.patches.scale import Downscale
from atlaspatch_core.slides.readers import READERS

EXTENSION = re.compile(r"(\.[^./\\\s]+)+")
GEOMETRY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Precision = Literal["float32", "float16", "bfloat16"]


class Section(BaseModel):
    """A table of the project file: unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Slides(Section):
    """Where the slides are."""

    folders: tuple[Path, ...] = ()
    """Slide files, folders to look for slides in, and patterns such as ``slides/**/*.svs``."""
    recursive: bool = False
    """Look in subfolders too."""
    extensions: tuple[str, ...] = ()
    """Suffixes that count as slides in folders, lower case with the dot; empty for all that the readers know."""
    slide_list: Path | None = None
    """CSV with the column ``wsi``, paths from ``folders``, and perhaps ``mpp``: these slides and no others."""
    mpp_csv: Path | None = None
    """CSV with columns ``wsi,mpp``: µm per px of level 0 by stem; wins over the file."""
    mpp_keys: tuple[str, ...] = ()
    """Further properties that state the mpp, asked before any other. What is hashed is the number they give."""
    reader: str | None = None
    """Reader that opens every slide, whatever its content; found out for each slide when left out."""
    masks: Path | None = None
    """Folder of tissue masks that take the place of the segmenter's: ``<stem>.geojson``, or images."""
    full_hash: bool = False
    """Read every byte of a slide to identify it, rather than samples."""

    @field_validator("extensions")
    @classmethod
    def _extensions_are_suffixes(cls, extensions: tuple[str, ...]) -> tuple[str, ...]:
        for extension in extensions:
            if not EXTENSION.fullmatch(extension):
                raise ValueError(f"{extension!r} is no suffix; each begins with a dot, such as '.svs' or '.ome.tif'")
        return tuple(dict.fromkeys(extension.lower() for extension in extensions))

    @field_validator("mpp_keys")
    @classmethod
    def _keys_are_names(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if not all(key.strip() for key in keys):
            raise ValueError("a name is empty; give names of properties, such as 'aperio.MPP'")
        return keys

    @field_validator("reader")
    @classmethod
    def _reader_exists(cls, reader: str | None) -> str | None:
        if reader is not None and reader not in READERS:
            raise ValueError(f"no reader is called {reader!r}; there are {', '.join(READERS)}")
        return reader


class Geometry(Section):
    """One size and scale of patches, and the encoders that run on them."""

    name: str = ""
    """Folder and asset prefix; empty for ``<output>/patches``. Several geometries need different names."""
    patch_size: int = Field(gt=0, le=LARGEST_PATCH)
    """px at the target scale."""
    step_size: int | None = Field(default=None, gt=0, le=LARGEST_STEP)
    """Stride, px at the target scale; the patch size when left out."""
    target_mag: float | None = Field(default=None, ge=10 / COARSEST_MPP, le=120)
    """Target magnification; 20 means 0.5 µm/px."""
    target_mpp: float | None = Field(default=None, gt=0, le=COARSEST_MPP)
    """Target scale, µm per px; instead of ``target_mag``."""
    scale: Literal["true", "nominal"] = "true"
    min_tissue: float = Field(default=0.1, ge=0, le=1)
    """Least tissue share of a patch."""
    rule: Literal["lattice", "atlaspatch"] = "lattice"
    edge: Literal["pad", "drop"] = "pad"
    filters: FilterSpec | None = None
    """Drop black and white patches by their pixels."""
    patch_encoders: tuple[str, ...] = ()
    slide_encoders: tuple[str, ...] = ()
    precision: Precision | Literal["own"] = "float16"
    """Precision of patch features; ``own``: that of each encoder's makers. float16 runs as float32 on a CPU."""
    input_size: int | None = Field(default=None, gt=0)
    """Side to which patch encoders scale a patch, px, where it is not their own; vision transformers can do that."""
    coords: Path | None = None
    """Folder of coordinates that take the place of the grid's: ``<stem>.h5`` or ``<stem>_patches.h5`` in it, or in
    ``patches`` below it, of this package, TRIDENT, AtlasPatch or CLAM. Their files say size and scale."""
    downscale: Downscale = "area"
    """``dct``: patches at an eighth of a JPEG level's scale are decoded at that scale, not averaged; for features."""

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if name and not GEOMETRY_NAME.fullmatch(name):
            raise ValueError("must be letters, digits, dots, dashes and underscores")
        return name

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.target_mag is None) == (self.target_mpp is None):
            raise ValueError("needs either target_mag or target_mpp")
        return self

    def precision_of(self, own: Precision) -> Precision:
        """Return the precision of an encoder whose makers use ``own``."""
        return own if self.precision == "own" else self.precision

    @property
    def mpp(self) -> float:
        """Target scale, µm per px."""
        return self.target_mpp if self.target_mpp is not None else 10 / float(self.target_mag or 0)

    @property
    def magnification(self) -> int | float:
        """Target magnification, 10 / µm per px; an int where it is whole, as readers of the files expect."""
        exact = self.target_mag if self.target_mag is not None else 10 / float(self.target_mpp or 0)
        return int(exact) if exact == int(exact) else exact

    @property
    def spec(self) -> GridSpec:
        """What decides the coordinates."""
        return GridSpec(self.patch_size, self.step_size, self.mpp, self.scale, self.min_tissue, self.rule, self.edge)


class Patients(Section):
    """Cases of one or more slides, and what makes one embedding of each."""

    manifest: Path | None = None
    """CSV with columns ``case_id,slide_path`` and, where the slide does not say it, ``mpp``."""
    encoders: tuple[str, ...] = ()
    """Patient encoders; each takes the first geometry that suits it."""


class Upgrades(Section):
    """What happens when an encoder, the segmenter or a geometry changes."""

    automatic: bool = False
    """Compute stale results anew without being asked; otherwise it is only proposed."""
    canary_slides: int = Field(default=10, gt=0)
    """Slides on which a changed patch encoder is tried first."""
    canary_patches: int = Field(default=50, gt=1)
    """Patches of each of them."""
    least_cosine: float = Field(default=0.9999, gt=0, le=1)
    """Least cosine of stored and new features of every patch that counts as the same numbers."""


class Pictures(Section):
    """Pictures and patch images to write beside the results; they decide no numbers."""

    grids: bool = False
    mask: bool = False
    contours: bool = False
    save_images: bool = False
    dump_patches: bool = False
    """Write patches under TRIDENT's names: ``patch_images/<stem>/<row>_x<X>_y<Y>.png``."""
    dump_patches_max: int = Field(default=0, ge=0)
    """Patches of a slide that are dumped, the first ones; 0 is all."""
    dump_patches_format: Literal["png", "jpg"] = "png"
    dump_patches_jpeg_quality: int = Field(default=90, ge=1, le=100)


class Runtime(Section):
    """What decides speed and never a number."""

    device: str = "cuda"
    feature_device: str | None = None
    """Device of the patch encoders; ``device`` when left out."""
    feature_batch_size: int = Field(default=32, gt=0)
    segmentation_batch_size: int = Field(default=1, gt=0)
    read_workers: int = Field(default=0, ge=0)
    """Threads that read and decode; 0 is one per core."""
    threads: int = Field(default=0, ge=0)
    """Threads of torch and OpenCV; 0 is one per core."""
    write_rows: int = Field(default=8192, gt=0)
    """Rows per HDF5 chunk, at most."""
    slides_per_run: int = Field(default=128, gt=0)
    """Slides of one Dagster run."""

    @property
    def compute_threads(self) -> int:
        """Threads of torch and OpenCV."""
        return self.threads or os.cpu_count() or 1

    @property
    def readers(self) -> int:
        """Threads that read and decode."""
        return self.read_workers or os.cpu_count() or 1

"""Which slides a shard takes: expected patches of slides, from what their files say without a decoded pixel."""

import logging
from dataclasses import asdict, dataclass, replace
from math import ceil
from os import stat_result
from pathlib import Path
from threading import BoundedSemaphore

from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.discovery.shards import Shard, divide
from atlaspatch_core.discovery.sources import Discovery, SlideSource, open_source
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import canonical_json, short_hash
from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.patches.scale import choose_sampling
from atlaspatch_core.slides.files import slide_files
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.storage.file_index import FileIndex
from atlaspatch_core.storage.store import Store

log = logging.getLogger(__name__)

VERSION = 1
BYTES_OF_A_PATCH = 10_000
"""Of a JPEG of 256 px, about: by this, slides that do not open are weighed by the bytes of their files."""


@dataclass(frozen=True, slots=True)
class ShardSlides:
    """What a shard takes of all slides."""

    shard: Shard
    discovery: Discovery
    slides: int
    """Of all shards."""
    patches: tuple[int, int]
    """Expected of this shard and of all."""

    @property
    def text(self) -> str:
        """How much it is, in one line."""
        origin = f" ({self.shard.origin})" if self.shard.origin else ""
        mine, all_ = self.patches
        share = f"{mine:,} of {all_:,} expected patches"
        return f"Shard {self.shard}{origin}: {len(self.discovery.paths):,} of {self.slides:,} slides, {share}"


def take_shard(discovery: Discovery, project: Project, shard: Shard) -> ShardSlides:
    """Return the slides of a shard. What is no slide is told by the first shard alone.

    Files of one stem are weighed as one patch: they fail. Slides that come between the starts of two shards move
    others from part to part, so that some may be taken twice, which is harmless, or by none: a run over all slides
    then makes what is missing.
    """
    weights = dict.fromkeys((clash.stem for clash in discovery.clashes), 1) | slide_weights(discovery, project)
    mine = divide(weights, shard.count)[shard.number - 1]
    part = replace(discovery.of(mine), left_out=discovery.left_out if shard.number == 1 else ())
    return ShardSlides(shard, part, len(weights), (sum(mine.values()), sum(weights.values())))


def slide_weights(discovery: Discovery, project: Project) -> dict[str, int]:
    """Return stem to the patches that a slide would have if all of it were tissue, of each encoder; 1 or more.

    Slides are opened once, no pixel is decoded, and the output folder remembers. One that does not open counts by the
    bytes of its files. Every process finds the same for the same files.
    """
    sources, slots = discovery.by_stem, BoundedSemaphore(usable_cores())

    def read(stem: Path) -> int | None:
        with slots:
            return _expected(sources[str(stem)], project)

    states = {stem: state for stem, source in sources.items() if (state := _state(source.path))}
    index = FileIndex(Store(project.output).index("shards"), read, VERSION, keeps=lambda value: value is not None)
    decided_by = {stem: _decided_by(source, project) for stem, source in sources.items()}
    values = index.read_values(states, Path, decided_by)
    weights = {stem: value for stem, value in values.items() if value is not None}
    by_bytes = {stem: slide_bytes(sources[stem].path) // BYTES_OF_A_PATCH for stem in sources.keys() - weights.keys()}
    return {stem: max(1, patches) for stem, patches in (weights | by_bytes).items()}


def expected_patches(info: SlideInfo, geometries: tuple[Geometry, ...]) -> int:
    """Return the patches of a slide that is tissue from edge to edge, once for each patch encoder of a geometry."""
    return sum(_of_geometry(info, geometry) * max(1, len(geometry.patch_encoders)) for geometry in geometries)


def _of_geometry(info: SlideInfo, geometry: Geometry) -> int:
    try:
        step = choose_sampling(info, geometry.spec).step_size_level0
    except AtlasPatchError:  # a slide that has not the detail has none of its patches
        return 0
    return ceil(info.width / step) * ceil(info.height / step)


def _expected(source: SlideSource, project: Project) -> int | None:
    """Return the expected patches of a slide; None for one that does not open."""
    try:
        with open_source(source, project.slides) as slide:
            return expected_patches(slide.info, project.geometry)
    except Exception as error:  # a reader's library may raise anything; its step says what is wrong
        log.debug("%s: weighed by its bytes: %s", source.stem, error)
        return None


def _decided_by(source: SlideSource, project: Project) -> str:
    """Return a hash of what decides the patches of a slide beside its file."""
    slides = project.slides
    opened = [source.mpp, source.series, slides.reader, list(slides.scale_keys), slides.square_pixels]
    geometries = [[asdict(geometry.spec), len(geometry.patch_encoders)] for geometry in project.geometry]
    return f" {short_hash(canonical_json([opened, geometries]))}"


def _state(path: Path) -> stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def slide_bytes(path: Path) -> int:
    """Return the bytes of all files of a slide; of those that went away none."""
    return sum(state.st_size for file in slide_files(path) if (state := _state(file)))

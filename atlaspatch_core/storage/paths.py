"""Where each file lies in the output folder of a project."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

LOCK_FOLDER = ".locks"
UPLOADS_FOLDER = ".uploads"


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """The files of an output folder; those of a geometry lie in the folder of its name, or in the output itself."""

    output: Path

    def h5(self, stem: str, geometry: str = "") -> Path:
        """Return where a slide's coords, features and embeddings lie."""
        return Path(self.output, geometry, "patches", f"{stem}.h5")

    def geojson(self, stem: str) -> Path:
        """Return where a slide's tissue polygons lie."""
        return Path(self.output, "contours_geojson", f"{stem}.geojson")

    def replaced_outlines(self, stem: str, sha256: str) -> Path:
        """Return where polygons are kept that no segmenter made and that were replaced on request, by their content."""
        return Path(self.output, "contours_geojson", "replaced", f"{stem}.{sha256[:12]}.geojson")

    def record(self, stem: str) -> Path:
        """Return where a slide's record lies."""
        return Path(self.output, "slides", f"{stem}.json")

    def crash_note(self, stem: str) -> Path:
        """Return where it is noted that a slide crashed its reader."""
        return Path(self.output, "crashes", f"{stem}.json")

    def plugin_names(self, sha256: str) -> Path:
        """Return where it is noted what the encoders of a plugin file of this content are called."""
        return Path(self.output, ".plugins", f"{sha256}.json")

    @property
    def overlays(self) -> Path:
        """The one folder beside the results where a person's overlays may lie; no run looks into it."""
        return Path(self.output, "overlays")

    def thumbnail(self, stem: str) -> Path:
        """Return where a slide's thumbnail lies."""
        return Path(self.output, "thumbnails", f"{stem}.jpg")

    def contours(self, stem: str) -> Path:
        """Return where the thumbnail with the outlines of the tissue lies, as TRIDENT names it."""
        return Path(self.output, "contours", f"{stem}.jpg")

    def visualization(self, stem: str, geometry: str = "", *, kind: str = "") -> Path:
        """Return where an overlay lies; ``kind`` is empty for the grid, or ``_mask``, ``_mask_bw``, ``_contours``."""
        return Path(self.output, geometry, "visualization", f"{stem}{kind}.png")

    def small_picture(self, stem: str, kind: str, geometry: str = "") -> Path:
        """Return where the picture of at most 8 kB lies that the web UI shows."""
        return Path(self.output, geometry, "thumbnails", "small", f"{stem}_{kind}.jpg")

    def patch_image(self, stem: str, x: int, y: int, geometry: str = "") -> Path:
        """Return where the image of one patch lies; x, y are level-0 px."""
        return self.patch_images(stem, geometry) / f"{stem}_x{x}_y{y}.png"

    def dumped_patches(self, stem: str, geometry: str = "") -> Path:
        """Return the folder of a slide's patch images, as TRIDENT names it."""
        return Path(self.output, geometry, "patch_images", stem)

    def patch_images(self, stem: str, geometry: str = "") -> Path:
        """Return the folder of the images that belong to a slide's patches."""
        return Path(self.output, geometry, "images", stem)

    def case(self, case_id: str, encoder: str, geometry: str = "") -> Path:
        """Return where the embedding of a case lies."""
        return Path(self.output, geometry, "patient_features", encoder, f"{case_id}.h5")

    def state(self, name: str) -> Path:
        """Return where the state of a slide lies, as TRIDENT names it."""
        return Path(self.output, "wsi_states", f"{name}.json")

    def run(self, run_id: str) -> Path:
        """Return where the file of a run lies."""
        return Path(self.output, "runs", f"{run_id}.json")

    def run_lock(self, name: str) -> Path:
        """Return where the lock of a run lies, or of the tracking."""
        return Path(self.output, LOCK_FOLDER, "runs", f"{name}.lock")

    def lock(self, stem: str) -> Path:
        """Return where the lock of a slide lies."""
        return Path(self.output, LOCK_FOLDER, f"{stem}.lock")

    def index(self, name: str) -> Path:
        """Return where a cache lies, which may be deleted at any time."""
        return Path(self.output, ".index", f"{name}.json")

    def upload_note(self, name: str) -> Path:
        """Return where it lies what this folder has in common with a bucket."""
        return Path(self.output, UPLOADS_FOLDER, f"{name}.json")

    def set_aside(self, path: Path) -> Path:
        """Return where a damaged file of the output folder goes that cannot be marked."""
        place = self.output / "damaged" / "_".join(path.relative_to(self.output).parts)
        return place if not place.exists() else place.with_name(f"{place.name}.{uuid4().hex[:8]}")

    def export_marks(self, stem: str) -> Path:
        """Return where it lies what an export wrote of a slide, below the folder that it wrote to."""
        return Path(self.output, ".atlaspatch", f"{stem}.json")

    def summary(self) -> Path:
        """Return where the runs are described for people."""
        return self.output / "summary.md"

    def report(self) -> Path:
        """Return where the page about all slides lies."""
        return self.output / "cohort_report.html"

    def pictures(self) -> list[Path]:
        """Return the folders in which pictures lie that somebody might take for slides."""
        return [self.output / folder for folder in ("images", "visualization", "thumbnails", "contours")]

    def folders(self, geometries: Sequence[str]) -> list[Path]:
        """Return the folders in which results, records and pictures lie."""
        shared = ("slides", "crashes", ".plugins", "contours_geojson", "contours", "thumbnails", "thumbnails/small")
        folders = (*shared, "visualization", "patches")
        return [self.output / name / folder for name in dict.fromkeys(["", *geometries]) for folder in folders]

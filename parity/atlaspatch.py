"""AtlasPatch from PyPI: its ``process`` beside our ``encode-slide``, with the seeded encoder and a stub of SAM 2."""

from pathlib import Path

from parity.cases import BASE, Case
from parity.comparison import Place, Places, changed_files, contents
from parity.running import BUILD, PLUGIN, QUIET, make_environment, run, run_ours, seed_hub
from parity.tool import Tool, describe_changes

NAME, VERSION = "AtlasPatch", "1.1.0"
FILE = "patches/a.h5"
LARGE: Case = {"magnification": 40, "levels": [1, 4, 16], "patch_size": 256, "target_mag": 20, "seed": 2, "is_large": 1}
CASES: tuple[Case, ...] = (
    {**BASE, "name": "as scanned, over the edges"},
    {**BASE, "name": "half the scale, overlap", "target_mag": 10, "step_size": 160, "patch_size": 224},
    {**BASE, "name": "a level of the scale, least area", "target_mag": 5, "patch_size": 64,
     "tissue_thresh": 0.01},
    {**BASE, "name": "a level of 3.98, 6x", "levels": [1, 3.98], "target_mag": 6, "patch_size": 96},
    {**LARGE, "name": "two boxes, one hole", "size": [16384, 8192], "mask": [256, 512],
     "rects": [[40, 30, 120, 100, 1], [80, 60, 30, 30, 0], [300, 100, 150, 120, 1]]},
    {**LARGE, "name": "steps of half a patch", "size": [8192, 8192], "magnification": 20, "levels": [1, 4],
     "mask": [512, 512], "rects": [[100, 100, 90, 70, 1]], "patch_size": 224, "step_size": 112},
    {**LARGE, "name": "levels of 4 and 16.01, 10x", "size": [32768, 16384], "levels": [1, 4.0002, 16.01],
     "mask": [512, 1024], "rects": [[200, 100, 300, 200, 1]], "patch_size": 512, "target_mag": 10},
    {**LARGE, "name": "40x read as 30x", "size": [9000, 7000], "levels": [1, 2, 4], "mask": [219, 281],
     "rects": [[50, 40, 80, 60, 1]], "patch_size": 224, "target_mag": 30},
    {**LARGE, "name": "two pieces that share patches", "size": [8192, 8192], "mask": [256, 256],
     "rects": [[30, 40, 61, 80, 1], [92, 40, 70, 83, 1], [140, 130, 40, 40, 1]]},
    {**LARGE, "name": "pieces below the least area", "size": [8192, 8192], "mask": [256, 256],
     "rects": [[30, 40, 100, 80, 1], [180, 40, 20, 20, 1], [40, 180, 30, 23, 1]], "tissue_thresh": 0.01},
    {**LARGE, "name": "a piece in a hole, pieces side by side", "size": [8192, 8192], "mask": [256, 256],
     "rects": [[20, 20, 120, 120, 1], [40, 40, 80, 80, 0], [60, 60, 40, 40, 1], [150, 30, 30, 90, 1],
               [150, 150, 60, 60, 1], [20, 150, 60, 90, 1]]},
)  # fmt: skip


def prepare(python: str) -> Tool:
    """Install AtlasPatch, and a checkpoint of no weights for the stub of SAM 2."""
    programs = make_environment("atlaspatch", python, f"atlas-patch=={VERSION}", "openslide-bin")
    checkpoint = seed_hub("AtlasAnalyticsLab/AtlasPatch", "model.pth")
    if not checkpoint.exists():
        run([programs / "python", "-c", f"import torch; torch.save({{'model': {{}}}}, {str(checkpoint)!r})"])

    def run_theirs(case: Case, folder: Path, out: Path) -> str:
        more = {"ATLASPATCH_PARITY_MASK": str(folder / "mask.npy"), "PYTHONPATH": str(QUIET)}
        words = [programs / "atlaspatch", *their_words(case, folder, out)]
        return run(words, HF_HOME=str(BUILD / "hub"), HF_HUB_OFFLINE="1", **more)

    return Tool(NAME, VERSION, CASES, places, run_theirs, run_encode_slide, adopt)


def places(_: Case) -> Places:
    """Return where its results lie, and ours."""
    return Places(Place(FILE, "coords"), Place(FILE, "features/seeded"))


def shared_words(case: Case) -> list[object]:
    """Return the options that both tools call the same."""
    words = ["--patch-size", case["patch_size"]]
    words += ["--step-size", case["step_size"]] if "step_size" in case else []
    words += ["--target-mag", case["target_mag"], "--tissue-thresh", case.get("tissue_thresh", 0.0)]
    return [*words, "--feature-plugin", PLUGIN, "--device", "cpu"]


def their_words(case: Case, folder: Path, out: Path) -> list[object]:
    """Return the words after its program."""
    words = ["process", folder / "slides" / "a.svs", "-o", out, *shared_words(case)]
    return [*words, "--feature-extractors", "seeded", "--feature-num-workers", "0", "-v"]


def our_words(case: Case, folder: Path, out: Path, masks: str = "masks") -> list[object]:
    """Return the words after ours by which a case is the same; ``masks`` are images, ``outlines`` GeoJSON."""
    words = ["encode-slide", folder / "slides" / "a.svs", "-o", out, *(["--masks", folder / masks] if masks else [])]
    return [*words, "--rule", "atlaspatch", "--scale", "nominal", "--patch-encoders", "seeded", *shared_words(case)]


def run_encode_slide(case: Case, folder: Path, out: Path) -> str:
    """Run ours on a case."""
    return run_ours(our_words(case, folder, out))


def adopt(case: Case, folder: Path, theirs: Path) -> str:
    """Take over its results, every row proven, and go on with them."""
    out = folder / "adopted"
    slides = ["--slides", folder / "slides"]
    said = run_ours(["adopt", theirs, "-o", out, *slides, "--feature-plugin", PLUGIN, "--verify", "all"])
    if "unverified" in said:
        return "**unverified**"
    before = contents(out / "patches")
    run_ours(our_words(case, folder, out, masks=""))
    return describe_changes(changed_files(before, contents(out / "patches"))) if before else f"**no {FILE}**"

"""TRIDENT from a checkout: its batch command beside our ``run``, with supplied outlines and seeded weights."""

from collections.abc import Callable, Sequence
from pathlib import Path

from parity.cases import BASE, Case
from parity.checkouts import check_program, copy_checkout, describe_version
from parity.comparison import Place, Places, changed_files, contents, read_dataset
from parity.running import BUILD, QUIET, make_environment, run, run_ours
from parity.tool import Tool, describe_changes

NAME, PROGRAM = "TRIDENT", "run_batch_of_slides.py"
ARCHITECTURES = {"kaiko-vits16": "vit_small_patch16_224"}
"""The smallest of its encoders that takes local weights and computes in float32."""
KAIKO: Case = {**BASE, "encoder": "kaiko-vits16"}
APART = ("_config_*", "*/_config_*", "_logs_*", "*/_logs_*", "runs/*", "wsi_states/*", "summary.md", "*.lock")
SUPPLIED = (*APART, "contours_geojson/*")
"""What is no result: notes on runs, and the outlines that both are given."""
CASES: tuple[Case, ...] = (
    {**KAIKO, "name": "as scanned, over the edges"},
    {**KAIKO, "name": "half the scale, overlap", "target_mag": 10, "overlap": 64, "patch_size": 224},
    {**KAIKO, "name": "a level of the scale, least tissue", "target_mag": 5, "patch_size": 64, "least_tissue": 0.3},
)  # fmt: skip
Words = Sequence[object]


def check_checkout(checkout: Path) -> None:
    """Raise NotADirectoryError, in a sentence, where a folder is no checkout of TRIDENT."""
    check_program(NAME, checkout, PROGRAM)


def prepare(checkout: Path, python: str) -> Tool:
    """Install a copy of the checkout; the tool is driven by its batch command, and its weights are seeded."""
    copy = copy_checkout(checkout, "trident")
    programs = make_environment("trident", python, "-e", str(copy), "openslide-bin")

    def run_trident(words: Words) -> str:
        return run([programs / "python", PROGRAM, *words], cwd=copy, PYTHONPATH=str(QUIET))

    return make_tool(run_trident, run_ours, describe_version(checkout))


def make_tool(run_trident: Callable[[Words], str], run_atlaspatch: Callable[[Words], str], version: str) -> Tool:
    """Return the tool from what runs the two command lines."""

    def run_theirs(case: Case, folder: Path, job: Path) -> str:
        is_ours = (job / "contours_geojson").exists()
        if not is_ours:
            supply_outlines(folder, job)
        tasks = ("all",) if is_ours else ("coords", "feat")
        return "".join(run_trident(shared_words(case, folder, job, task)) for task in tasks)

    def run_batch(case: Case, folder: Path, job: Path) -> str:
        return run_atlaspatch(our_words(case, folder, job))

    def go_on(case: Case, folder: Path, job: Path) -> str:
        said = run_atlaspatch(adopt_words(case, folder, job))
        if "unverified" in said:
            return "**unverified**"
        apart, coords = places(case).apart, places(case).coords
        before, rows = contents(job, apart), read_dataset(job, coords)
        run_atlaspatch(["run", *shared_words(case, folder, job, "all"), "--scale", "nominal"])
        our_rows = read_dataset(job, Place(f"{geometry_folder(case)}/patches/a.h5", "coords"))[:, :2]
        other = describe_changes(changed_files(before, contents(job, apart)))
        return other if rows.tolist() == our_rows.tolist() else "**other coords**"

    return Tool(NAME, version, CASES, places, run_theirs, run_batch, go_on)


def supply_outlines(folder: Path, job: Path) -> None:
    """Lay outlines where TRIDENT's segmentation would have left them."""
    target = job / "contours_geojson" / "a.geojson"
    target.parent.mkdir(parents=True)
    target.write_bytes((folder / "outlines" / "a.geojson").read_bytes())


def geometry_folder(case: Case) -> str:
    """Return the folder of a grid."""
    return f"{case['target_mag']:g}x_{case['patch_size']}px_{case.get('overlap', 0)}px_overlap"


def places(case: Case) -> Places:
    """Return where its results lie, and ours by ``--layout trident``."""
    folder = geometry_folder(case)
    coords = Place(f"{folder}/patches/a_patches.h5", "coords")
    return Places(coords, Place(f"{folder}/features_{case['encoder']}/a.h5", "features"), SUPPLIED)


def shared_words(case: Case, folder: Path, job: Path, task: str) -> list[object]:
    """Return the options of TRIDENT, which are ours, too."""
    words = ["--task", task, "--wsi_dir", folder / "slides", "--job_dir", job, "--gpus", "-1", "--max_workers", "0"]
    words += ["--segmenter", "otsu", "--mag", case["target_mag"], "--patch_size", case["patch_size"]]
    words += ["--overlap", case.get("overlap", 0), "--min_tissue_proportion", case.get("least_tissue", 0.0)]
    words += ["--patch_encoder", case["encoder"]]
    architecture = ARCHITECTURES.get(case["encoder"])
    return [*words, "--patch_encoder_ckpt_path", seed_weights(architecture)] if architecture else words


def our_words(case: Case, folder: Path, job: Path, masks: str = "outlines") -> list[object]:
    """Return the words after ours by which a case is the same."""
    more = ["--masks", folder / masks, "--scale", "nominal", "--layout", "trident"]
    return ["run", *shared_words(case, folder, job, "all"), *more]


def adopt_words(case: Case, folder: Path, job: Path) -> list[object]:
    """Return the words after ours that take over a job folder, every row of features proven."""
    words = ["adopt", job, "-o", folder / "adopted", "--slides", folder / "slides", "--verify", "all"]
    architecture = ARCHITECTURES.get(case["encoder"])
    weights = ["--patch-encoder-ckpt-path", f"{case['encoder']}={seed_weights(architecture)}"] if architecture else []
    return [*words, *weights]


def seed_weights(architecture: str) -> Path:
    """Return a file of weights that a seed gave, made once."""
    path = BUILD / "weights" / f"{architecture}.pth"
    if not path.exists():
        import timm
        import torch

        torch.manual_seed(5)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(timm.create_model(architecture, num_classes=0).state_dict(), path)
    return path

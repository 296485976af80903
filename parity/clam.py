"""CLAM from a checkout: it segments itself, so ours takes its coords; its features and ours have the same weights."""

from collections.abc import Callable, Sequence
from pathlib import Path

from parity.cases import BASE, Case
from parity.checkouts import check_program, copy_checkout, describe_version
from parity.comparison import Place, Places
from parity.running import BUILD, QUIET, make_environment, run, run_ours, seed_hub
from parity.tool import REUSED, Tool

NAME = "CLAM"
CREATE, EXTRACT = "create_patches_fp.py", "extract_features_fp.py"
PACKAGES = ("h5py", "opencv-python-headless", "openslide-bin", "openslide-python", "pandas", "Pillow", "timm", "tqdm")
PACKAGES += ("torchvision", "scikit-learn", "scipy", "matplotlib", "huggingface-hub", "safetensors", "PyYAML")
APART = ("process_list_autogen.csv", "masks/*", "stitches/*", ".locks/*")
"""What is no result: its list, which it writes in every run, and its pictures."""
RESNET: Case = {**BASE, "encoder": "resnet50_layer3"}
"""Ours of the network that CLAM takes when no other is asked for."""
CASES: tuple[Case, ...] = (
    {**RESNET, "name": "as scanned"},
    {**RESNET, "name": "overlap", "patch_size": 224, "step_size": 160},
)
Words = Sequence[object]


def check_checkout(checkout: Path) -> None:
    """Raise NotADirectoryError, in a sentence, where a folder is no checkout of CLAM."""
    check_program(NAME, checkout, CREATE)
    check_program(NAME, checkout, EXTRACT)


def prepare(checkout: Path, python: str) -> Tool:
    """Install what CLAM asks for; it is driven by two of its programs, and finds seeded weights in its cache."""
    copy, python_of_clam = copy_checkout(checkout, "clam"), make_environment("clam", python, *PACKAGES) / "python"
    seed_weights()
    cache = {"HF_HOME": str(BUILD / "hub"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(QUIET)}

    def run_clam(words: Words) -> str:
        return run([python_of_clam, *words], cwd=copy, CUDA_VISIBLE_DEVICES="", **cache)

    return make_tool(run_clam, run_ours, describe_version(checkout))


def make_tool(run_clam: Callable[[Words], str], run_atlaspatch: Callable[[Words], str], version: str) -> Tool:
    """Return the tool from what runs the two command lines."""

    def run_theirs(case: Case, folder: Path, out: Path) -> str:
        return "".join(run_clam(words) for words in (create_words(case, folder, out), extract_words(case, folder, out)))

    def run_batch(case: Case, folder: Path, out: Path) -> str:
        said = run_atlaspatch(our_words(case, folder, folder / "encoded"))
        exported = folder / "exported"
        said += run_atlaspatch(["export", "--output", folder / "encoded", "--layout", "clam", "--to", exported])
        next(exported.glob("*_supplied")).rename(out)
        return said

    def adopt(case: Case, folder: Path, theirs: Path) -> str:
        words = ["adopt", theirs, "-o", folder / "adopted", "--slides", folder / "slides", "--verify", "all"]
        said = run_atlaspatch([*words, "--keep-patches", "--patch-encoder", *encoder_words(case)])
        return "**unverified**" if "unverified" in said else REUSED

    return Tool(NAME, version, CASES, places, run_theirs, run_batch, adopt)


def features_folder(case: Case) -> str:
    """Return the folder of features as our export calls it."""
    return f"features_{case['encoder']}"


def places(case: Case) -> Places:
    """Return where its results lie, and ours as exported."""
    features = Place(f"{features_folder(case)}/h5_files/a.h5", "features")
    return Places(Place("patches/a.h5", "coords"), features, APART)


def create_words(case: Case, folder: Path, out: Path) -> list[object]:
    """Return the words that find tissue and lay patches at level 0."""
    words = [CREATE, "--source", folder / "slides", "--save_dir", out, "--preset", "bwh_biopsy.csv"]
    sizes = ["--patch_size", case["patch_size"], "--step_size", case.get("step_size", case["patch_size"])]
    return [*words, *sizes, "--seg", "--patch"]


def extract_words(case: Case, folder: Path, out: Path) -> list[object]:
    """Return the words that encode the patches of a folder of coords."""
    words = [EXTRACT, "--data_h5_dir", out, "--data_slide_dir", folder / "slides", "--slide_ext", ".svs"]
    return [*words, "--csv_path", out / "process_list_autogen.csv", "--feat_dir", out / features_folder(case)]


def our_words(case: Case, folder: Path, out: Path) -> list[object]:
    """Return the words after ours that encode the patches that CLAM laid."""
    words = ["run", "--task", "feat", "--wsi-dir", folder / "slides", "--job-dir", out, "--gpus", -1]
    words += ["--coords-dir", folder / "theirs" / "patches", "--mag", case["target_mag"], "--scale", "nominal"]
    return [*words, "--segmenter", "otsu", "--patch-encoder", *encoder_words(case)]


def encoder_words(case: Case) -> list[object]:
    """Return the encoder, and for ours the seeded weights that CLAM has of it."""
    is_resnet = case["encoder"] == RESNET["encoder"]
    weights = ["--patch-encoder-ckpt-path", f"{case['encoder']}={seed_weights()}"] if is_resnet else []
    return [case["encoder"], *weights]


def seed_weights() -> Path:
    """Return seeded weights where CLAM looks for those of ImageNet, made once."""
    path = seed_hub("timm/resnet50.tv_in1k", "model.safetensors")
    if not path.exists():
        import timm
        import torch
        from safetensors.torch import save_file

        torch.manual_seed(5)
        save_file(timm.create_model("resnet50").state_dict(), path)
    return path

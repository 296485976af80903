"""What a shell completes, by click's own protocol, for real processes and in this one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, ShellComplete

from atlaspatch_core.cli.main import cli

pytestmark = pytest.mark.quick

PLUGIN = """
import torch

raise RuntimeError("nobody executes this")
PatchEncoder(name="Our_Own", dim=3)
"""


def completed(*words: str, incomplete: str = "") -> list[str]:
    shell: ShellComplete = BashComplete(cli, {}, "atlaspatch", "_ATLASPATCH_COMPLETE")
    return [item.value for item in shell.get_completions(list(words), incomplete)]


@pytest.mark.parametrize(
    ("words", "incomplete", "values"),
    [
        (("encode-slide", "--patch-encoders"), "conch", ["conch_v1", "conch_v15"]),
        (("encode-slide", "--patch-encoders"), "uni_v1,conch", ["uni_v1,conch_v1", "uni_v1,conch_v15"]),
        (("encode-slide", "--patch-encoders"), "conch_v1,conch", ["conch_v1,conch_v15"]),
        (("encode-slide", "--slide-encoders"), "mean-uni_v", ["mean-uni_v1", "mean-uni_v2"]),
        (("encode-slide", "--slide-encoder"), "tit", ["titan"]),
        (("encode-patient", "--patient-encoders"), "mo", ["moozy"]),
        (("encode-patient", "--patient-encoders"), "mean-conch_v15", ["mean-conch_v15"]),
        (("encode-slide", "--segmenter"), "otsu", ["otsu", "otsu_tiled", "otsu_whole"]),
        (("run", "--segmenter"), "otsu_w", ["otsu_whole"]),
        (("run", "--patch-encoder"), "UNI_V", ["uni_v1", "uni_v2"]),
        (("run", "--reader-type"), "open", ["openslide"]),
        (("run", "--layout"), "tri", ["trident"]),
        (("run", "--device"), "c", ["cpu", "cuda", "cuda:0"]),
        (("encode-slide", "--series"), "", ["all"]),
        (("export", "--layout"), "ann", ["anndata"]),
        (("weights", "fetch", "uni_v1"), "prov", ["prov_gigapath"]),
        (("adopt", "--patch-encoder"), "uni_v2", ["uni_v2"]),
        (("overlay", "out", "--attention"), "tangle", ["tangle_v2"]),
        ((), "encode-", ["encode-patient", "encode-slide"]),
    ],
)
def test_names_are_completed(words: tuple[str, ...], incomplete: str, values: list[str]):
    assert completed(*words, incomplete=incomplete) == values


def test_plugin_files_are_read_for_names_and_not_executed(tmp_path: Path):
    file = tmp_path / "plugin.py"
    file.write_text(PLUGIN)
    words = ("encode-slide", "--feature-plugin", str(file), "--patch-encoders")
    assert completed(*words, incomplete="our") == ["our_own"]
    file.write_text("no python (")
    assert completed(*words, incomplete="our") == []


def test_geometries_are_those_of_the_project_or_of_the_folder(tmp_path: Path):
    project = tmp_path / "atlaspatch.toml"
    project.write_text('[[geometry]]\nname = "20x"\n[[geometry]]\nname = "40x"\n[[geometry]]\npatch_size = 3\n')
    assert completed("export", "--project", str(project), "--geometry") == ["20x", "40x"]
    (tmp_path / "out" / "10x_256" / "patches").mkdir(parents=True)
    assert completed("export", "--output", str(tmp_path / "out"), "--geometry") == ["10x_256"]
    project.write_text("no = [toml")
    assert completed("export", "--project", str(project), "--geometry") == []


def test_a_shell_gets_names_from_a_process_that_imports_no_torch():
    script = """
import atexit, sys
atexit.register(lambda: print([name for name in ("torch", "cv2", "dagster", "pandas") if name in sys.modules]))
sys.argv[0] = "atlaspatch"
from atlaspatch_assets.cli.main import main
main()
"""
    words = {"COMP_WORDS": "atlaspatch run --slide-encoder titan,fea", "COMP_CWORD": "3"}
    environment = os.environ | words | {"_ATLASPATCH_COMPLETE": "bash_complete"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    variants = [f"plain,titan,{name}" for name in ("feather", "feather_uni", "feather_uni_v2")]
    assert done.stdout.splitlines() == [*variants, "[]"]


def test_segmenters_and_readers_of_plugin_files_are_completed(tmp_path: Path):
    file = tmp_path / "plugin.py"
    file.write_text('SEGMENTERS = [Segmenter("ours", version=1)]\nREADERS = [lib.Reader(name="our_format")]\n')
    words = ("encode-slide", "--plugin", str(file))
    assert completed(*words, "--segmenter", incomplete="our") == ["ours"]
    assert completed(*words, "--reader-type", incomplete="our") == ["our_format"]
    assert completed(*words, "--patch-encoders", incomplete="our") == []

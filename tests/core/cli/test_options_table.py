"""docs/options.md maps every option of AtlasPatch and TRIDENT, to options that exist."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from paths import ROOT

from atlaspatch_core.cli.main import cli

pytestmark = pytest.mark.quick

PAGE = ROOT / "docs" / "options.md"

PIPELINE = """--output -o --patch-size --step-size --target-mag --device --tissue-thresh --white-thresh --black-thresh
    --seg-batch-size --write-batch --patch-workers --max-open-slides --fast-mode --no-fast-mode --save-images
    --visualize-grids --visualize-mask --visualize-contours --skip-existing --force --verbose -v"""
DISCOVERY = "--recursive --mpp-csv"
FEATURES = "--feature-device --feature-batch-size --feature-num-workers --feature-precision --feature-plugin"
DUMPS = "--dump_patches --dump_patches_max --dump_patches_format --dump_patches_jpeg_quality"
THEIRS = {
    ("AtlasPatch", "info"): "--verbose -v",
    ("AtlasPatch", "detect-tissue"): f"--output -o --device --seg-batch-size --verbose -v {DISCOVERY}",
    ("AtlasPatch", "segment-and-get-coords"): f"{PIPELINE} {DISCOVERY}",
    ("AtlasPatch", "process"): f"{PIPELINE} {DISCOVERY} {FEATURES} --feature-extractors",
    ("AtlasPatch", "encode-slide"): f"{PIPELINE} {DISCOVERY} {FEATURES} --slide-encoders",
    ("AtlasPatch", "encode-patient"): f"{PIPELINE} {FEATURES} --patient-encoders",
    ("TRIDENT", "batch"): f"""--gpu --gpus --task --job_dir --skip_errors --clear_dead_locks --dead_lock_max_age_hours
        --max_workers --batch_size --seg_batch_size --feat_batch_size --wsi_cache --cache_batch_size --wsi_dir --wsi_ext
        --custom_mpp_keys --custom_list_of_wsis --reader_type --search_nested --segmenter --seg_conf_thresh
        --remove_holes --remove_artifacts --remove_penmarks --mag --patch_size --overlap --min_tissue_proportion
        --coords_dir {DUMPS} --patch_encoder --patch_encoder_ckpt_path --patch_encoder_img_size --slide_encoder""",
    ("TRIDENT", "single"): f"""--gpu --slide_path --job_dir --patch_encoder --patch_encoder_img_size --mag --patch_size
        --segmenter --reader_type --seg_conf_thresh --remove_holes --remove_artifacts --remove_penmarks
        --custom_mpp_keys --overlap --batch_size {DUMPS}""",
    ("TRIDENT", "doctor"): "--profile --check-gated --format",
    ("TRIDENT", "convert"): "--input_dir --mpp_csv --job_dir --downscale_by --num_workers --bigtiff",
}
"""(tool, command) to its options: AtlasPatch 1.1.0 and TRIDENT 0.3.0."""


@dataclass(frozen=True)
class Row:
    tool: str
    commands: tuple[str, ...]
    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    """``command --option``."""
    remark: str


def rows() -> Iterator[Row]:
    tool, commands = "", ()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"### (AtlasPatch|TRIDENT): (.*)", line):
            tool, commands = match[1], tuple(quoted(match[2]))
        elif line.startswith("## "):
            tool, commands = "", ()
        elif tool and line.startswith("| `"):
            theirs, ours, remark = (cell.strip() for cell in line.strip("|").split("|"))
            yield Row(tool, commands, tuple(quoted(theirs)), tuple(quoted(ours)), remark)


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def options_of(command: str) -> set[str]:
    return {name for param in cli.commands[command].params for name in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize(("tool", "command"), THEIRS)
def test_every_option_of_theirs_has_its_place(tool, command):
    mapped = {name for row in rows() if row.tool == tool and command in row.commands for name in row.theirs}
    assert mapped == set(THEIRS[tool, command].split())


def test_no_option_of_theirs_is_mapped_twice():
    seen = [(row.tool, command, name) for row in rows() for command in row.commands for name in row.theirs]
    assert len(seen) == len(set(seen)) > 100


def test_every_option_of_ours_exists():
    for row in rows():
        for words in row.ours:
            command, option = words.split(" ")
            assert option in options_of(command), words


def test_what_has_no_place_says_why_in_a_sentence():
    without = [row for row in rows() if not row.ours]
    assert without
    for row in without:
        assert re.search(r"\w+ .* \w+.*\.$", row.remark), row


def test_tridents_names_are_run_s_own_but_for_underscores():
    ours = options_of("run")
    assert {name.replace("_", "-") for name in THEIRS["TRIDENT", "batch"].split()} <= ours


def test_options_named_in_the_text_exist():
    text = PAGE.read_text(encoding="utf-8")
    for command, option in re.findall(r"`(run|encode-slide|convert|doctor) (--[a-z-]+)", text):
        assert option in options_of(command), (command, option)

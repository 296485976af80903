"""The options: what there is, what is refused, and what becomes of them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from atlaspatch_core.cli.encode_slide import checked_recipe, encode_slide
from atlaspatch_core.cli.fields import FieldOption
from atlaspatch_core.cli.main import cli
from atlaspatch_core.cli.types import Names
from atlaspatch_core.cli.values import encode_project
from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry, Pictures

pytestmark = pytest.mark.quick

LITE = "mean-efficientnet_lite0"

USAGE_GUIDE: list[tuple[str, list[str], str, bool, Any]] = [
    ("wsi_path", ["wsi_path"], "path", True, None),
    ("output", ["--output", "-o", "--job-dir"], "path", True, None),
    ("slide_encoders", ["--slide-encoders", "--slide-encoder"], "text", False, None),
    ("patch_size", ["--patch-size"], "integer range", True, None),
    ("step_size", ["--step-size"], "integer range", False, None),
    ("target_mag", ["--target-mag", "--mag"], "float range", False, None),
    ("feature_device", ["--feature-device"], "text", False, None),
    ("feature_batch_size", ["--feature-batch-size", "--feat-batch-size"], "integer", False, 32),
    ("feature_num_workers", ["--feature-num-workers"], "integer range", False, 4),
    ("feature_precision", ["--feature-precision"], "choice", False, "float16"),
    ("feature_plugin", ["--feature-plugin", "--plugin"], "file", False, ()),
    ("device", ["--device"], "text", False, "auto"),
    ("tissue_thresh", ["--tissue-thresh"], "float range", False, 0.0),
    ("white_thresh", ["--white-thresh"], "integer range", False, 15),
    ("black_thresh", ["--black-thresh"], "integer range", False, 50),
    ("seg_batch_size", ["--seg-batch-size"], "integer range", False, 1),
    ("write_batch", ["--write-batch"], "integer range", False, 8192),
    ("patch_workers", ["--patch-workers", "--max-workers"], "integer range", False, os.cpu_count()),
    ("max_open_slides", ["--max-open-slides"], "integer range", False, 200),
    ("fast_mode", ["--fast-mode", "--no-fast-mode"], "boolean", False, True),
    ("save_images", ["--save-images"], "boolean", False, False),
    ("visualize_grids", ["--visualize-grids", "--no-visualize-grids"], "boolean", False, False),
    ("visualize_mask", ["--visualize-mask"], "boolean", False, False),
    ("visualize_contours", ["--visualize-contours"], "boolean", False, False),
    ("skip_existing", ["--skip-existing", "--force"], "boolean", False, True),
    ("recursive", ["--recursive", "--search-nested"], "boolean", False, False),
    ("mpp_csv", ["--mpp-csv"], "file", False, None),
    ("verbose", ["--verbose", "-v"], "boolean", False, False),
]
"""Name, spellings, type, whether click itself requires it, value when left out."""

OURS: list[tuple[str, list[str], str, bool, Any]] = [
    ("patch_encoders", ["--patch-encoders", "--patch-encoder", "--feature-extractors"], "text", False, None),
    ("patch_encoder_ckpt_path", ["--patch-encoder-ckpt-path"], "name=path", False, ()),
    ("segmenter", ["--segmenter"], "text", False, "otsu"),
    ("masks", ["--masks"], "directory", False, None),
    ("seg_conf_thresh", ["--seg-conf-thresh"], "float range", False, 0.5),
    ("remove_holes", ["--remove-holes", "--fill-holes"], "boolean", False, True),
    ("remove_artifacts", ["--remove-artifacts"], "boolean", False, False),
    ("remove_penmarks", ["--remove-penmarks"], "boolean", False, False),
    ("wsi_ext", ["--wsi-ext"], "text", False, ()),
    ("custom_list_of_wsis", ["--custom-list-of-wsis"], "file", False, None),
    ("cohort_column", ["--cohort-column"], "text", False, None),
    ("custom_mpp_keys", ["--custom-mpp-keys"], "text", False, ()),
    ("reader_type", ["--reader-type"], "text", False, None),
    ("series", ["--series"], "integer", False, None),
    ("square_pixels", ["--square-pixels"], "boolean", False, False),
    ("min_tissue", ["--min-tissue", "--min-tissue-proportion"], "float range", False, 0.1),
    ("min_sharpness", ["--min-sharpness"], "float range", False, None),
    ("max_pen", ["--max-pen"], "float range", False, None),
    ("target_mpp", ["--target-mpp"], "float range", False, None),
    ("scale", ["--scale"], "choice", False, "true"),
    ("rule", ["--rule"], "choice", False, "lattice"),
    ("edge", ["--edge"], "choice", False, None),
    ("downscale", ["--downscale"], "choice", False, "area"),
    ("gpus", ["--gpus"], "integers", False, ()),
    ("project_name", ["--project-name"], "text", False, None),
    ("masks_origin", ["--masks-origin"], "choice", False, "auto"),
    ("mask_values", ["--mask-values"], "text", False, ()),
    ("min_tissue_area", ["--min-tissue-area"], "float range", False, 20_000.0),
    ("strict", ["--strict"], "boolean", False, False),
    ("dry_run", ["--dry-run"], "boolean", False, False),
    ("quiet", ["--quiet", "-q"], "boolean", False, False),
    ("log_file", ["--log-file"], "file", False, None),
    ("as_json", ["--json"], "boolean", False, False),
]
"""Scripts rely on their names and meanings, too. What is new, and a field of a project, needs no row here."""


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A path that exists; no test here opens it."""
    path = tmp_path / "a.svs"
    path.write_bytes(b"not opened")
    return path


def arguments(slide: Path, *more: str, without: tuple[str, ...] = ()) -> list[str]:
    """Return a command line that is right, but for what is added and what is left out."""
    usual = {"--slide-encoders": LITE, "--patch-size": "256", "--target-mag": "20", "--output": str(slide.parent / "o")}
    kept = [word for name, value in usual.items() if name not in without for word in (name, value)]
    return ["encode-slide", str(slide), *kept, *more]


def call(slide: Path, *more: str, without: tuple[str, ...] = ()) -> Result:
    return CliRunner().invoke(cli, arguments(slide, *more, without=without))


def project(slide: Path, *more: str, without: tuple[str, ...] = ()) -> Project:
    """Return the project that a command line means."""
    context = encode_slide.make_context("encode-slide", arguments(slide, *more, without=without)[1:])
    return checked_recipe(encode_project(context, slides=context.params["wsi_path"])).project


def geometry(slide: Path, *more: str, without: tuple[str, ...] = ()) -> Geometry:
    return project(slide, *more, without=without).geometry[0]


def test_the_options_are_those_of_the_usage_guide_and_ours(slide: Path):
    context = click.Context(encode_slide)
    found = [
        (
            parameter.name,
            [*parameter.opts, *parameter.secondary_opts],
            parameter.type.name,
            parameter.required,
            parameter.get_default(context, call=True) if parameter.name != "wsi_path" else None,
        )
        for parameter in encode_slide.params
    ]
    values = encode_slide.make_context("encode-slide", arguments(slide)[1:]).params
    left_out = {"wsi_path", "output", "slide_encoders", "patch_size", "target_mag"}
    found = [
        (name, spellings, kind, required, None if name in left_out else values[name])
        for name, spellings, kind, required, _ in found
        if name is not None
    ]
    order = [name for name, *_ in [*USAGE_GUIDE, *OURS]]
    new = {option.name for option in encode_slide.params if isinstance(option, FieldOption)} - {*order}
    found = [option for option in found if option[0] not in new]
    assert len(USAGE_GUIDE) == 28
    assert sorted(found, key=lambda option: order.index(option[0])) == [*USAGE_GUIDE, *OURS]


def test_every_option_has_a_help_text():
    helpless = [option.name for option in encode_slide.params if isinstance(option, click.Option) and not option.help]
    assert helpless == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--slide-encoders", " , "), "no name is given"),
        (("--slide-encoders", f"{LITE},{LITE.upper()}"), "given twice"),
        (("--slide-encoders", "mean-efficientnet_lite"), "near names: efficientnet_lite"),
        (("--patch-encoders", "eficientnet_lite0"), "efficientnet_lite0"),
        (("--patch-encoders", "efficientnet_lite0 efficientnet_lite0"), "given twice"),
        (("--segmenter", "oracle"), "otsu"),
        (("--reader-type", "oracle"), "no reader is called 'oracle'; there are openslide"),
        (("--wsi-ext", "s/vs"), "'s/vs' is no suffix; give such as '.svs'"),
        (("--wsi-ext", ".svs, ."), "'.' is no suffix"),
        (("--wsi-ext", " , "), "nothing is given"),
        (("--custom-mpp-keys", ""), "nothing is given"),
        (("--target-mag", "0"), "1<=x<=120"),
        (("--target-mag", "121"), "1<=x<=120"),
        (("--target-mag", "20x"), "not a valid float"),
        (("--target-mpp", "0.5"), "--target-mag and --target-mpp"),
        (("--patch-size", "0"), "1<=x<=65536"),
        (("--step-size", "0"), "1<=x<=1000000"),
        (("--tissue-thresh", "1.1"), "0<=x<=1"),
        (("--tissue-thresh", "nan"), "not a finite number"),
        (("--min-tissue", "-0.1"), "0<=x<=1"),
        (("--white-thresh", "0"), "x>=1"),
        (("--black-thresh", "0"), "x>=1"),
        (("--feature-batch-size", "0"), "no number of 1 or more, and not auto"),
        (("--feature-num-workers", "-1"), "x>=0"),
        (("--seg-batch-size", "0"), "x>=1"),
        (("--write-batch", "0"), "x>=1"),
        (("--patch-workers", "0"), "x>=1"),
        (("--max-open-slides", "0"), "x>=1"),
        (("--device", "gpu"), "is no device"),
        (("--feature-device", "cuda:x"), "is no device"),
        (("--feature-precision", "float64"), "float16"),
        (("--scale", "real"), "nominal"),
        (("--rule", "clam"), "atlaspatch"),
        (("--edge", "keep"), "drop"),
        (("--downscale", "lanczos"), "dct"),
        (("--feature-plugin", "/no/such/plugin.py"), "does not exist"),
        (("--mpp-csv", "/no/such/table.csv"), "does not exist"),
        (("--patch-encoder-ckpt-path", "efficientnet_lite0"), "is not NAME=PATH"),
        (("--patch-encoder-ckpt-path", "efficientnet_lite0=/no/such/file"), "does not exist"),
        (("--patch-encoder-ckpt-path", f"uni_v1={__file__}"), "does not run here"),
        (("--patch-encoder-ckpt-path", f"uni={__file__}"), "no encoder or network is called uni; near names:"),
        (("--no-such-option",), "No such option"),
    ],
)
def test_wrong_usage_is_said_in_one_line_and_exits_2(slide: Path, more: tuple[str, ...], said: str):
    result = call(slide, *more)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr.splitlines()[-1]
    assert not (slide.parent / "o").exists()


@pytest.mark.parametrize("left_out", ["--output", "--patch-size", "--slide-encoders", "--target-mag"])
def test_a_required_option_that_is_left_out_is_named(slide: Path, left_out: str):
    result = call(slide, without=(left_out,))
    assert result.exit_code == 2
    assert f"Missing option '{left_out}'" in result.stderr


def test_a_missing_slide_exits_2(tmp_path: Path):
    result = call(tmp_path / "none.svs")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_one_encoder_cannot_have_two_checkpoints(slide: Path):
    weights = f"efficientnet_lite0={slide}"
    result = call(slide, "--patch-encoder-ckpt-path", weights, "--patch-encoder-ckpt-path", weights.upper())
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "text", ["col,umn\na,1\n", "wsi,mpp\n", "wsi,mpp\na.svs,fast\n"], ids=["no columns", "no rows", "no number"]
)
def test_a_table_of_mpp_that_cannot_be_used_exits_2(slide: Path, text: str):
    table = slide.with_name("mpp.csv")
    table.write_text(text)
    result = call(slide, "--mpp-csv", str(table))
    assert result.exit_code == 2
    assert str(table) in result.stderr.splitlines()[-1]


def test_encoders_may_stand_between_commas_or_blanks_in_any_case(slide: Path):
    assert geometry(slide, "--slide-encoders", LITE.upper()).slide_encoders == (LITE,)
    assert Names().convert("a, B\tc,,d", None, None) == ("a", "b", "c", "d")


def test_patch_encoders_may_stand_alone(slide: Path):
    found = geometry(slide, "--patch-encoders", "efficientnet_lite0", without=("--slide-encoders",))
    assert (found.patch_encoders, found.slide_encoders) == (("efficientnet_lite0",), ())


def test_geometry_options_become_the_geometry(slide: Path):
    plain = geometry(slide)
    assert (plain.name, plain.patch_size, plain.step_size, plain.target_mag, plain.filters) == ("", 256, None, 20, None)
    assert plain.spec.target_mpp == 0.5
    more = ("--step-size", "128", "--target-mpp", "0.6", "--scale", "nominal", "--rule", "atlaspatch", "--edge", "drop")
    found = geometry(slide, *more, "--min-tissue", "0.4", without=("--target-mag",))
    assert (found.step_size, found.target_mpp, found.scale, found.rule, found.edge, found.min_tissue) == (
        128,
        0.6,
        "nominal",
        "atlaspatch",
        "drop",
        0.4,
    )
    assert (plain.downscale, geometry(slide, "--downscale", "dct").downscale) == ("area", "dct")


def test_thresholds_of_colour_count_without_fast_mode_only(slide: Path):
    thresholds = ("--white-thresh", "7", "--black-thresh", "8")
    assert geometry(slide, *thresholds, "--fast-mode").filters is None
    filters = geometry(slide, *thresholds, "--no-fast-mode").filters
    assert filters is not None
    assert (filters.white_thresh, filters.black_thresh) == (7, 8)


def test_filters_for_blur_and_ink_read_patches_and_are_refused_in_fast_mode(slide: Path):
    filters = geometry(slide, "--no-fast-mode", "--min-sharpness", "0.15", "--max-pen", "0.2").filters
    assert filters is not None
    assert (filters.min_sharpness, filters.max_pen) == (0.15, 0.2)
    for option in ("--min-sharpness", "--max-pen"):
        assert f"{option} reads patches; add --no-fast-mode" in call(slide, option, "0.5").output


def test_names_of_options_may_have_underscores_and_those_of_trident(slide: Path):
    found = project(slide, "--patch_encoder", "efficientnet_lite0", "--mag", "10", without=("--target-mag",))
    assert (found.geometry[0].patch_encoders, found.geometry[0].target_mag) == (("efficientnet_lite0",), 10)
    assert project(slide, "--segmenter", "otsu_whole").tissue.segmenter == "otsu"


def test_options_of_the_tissue_become_those_of_the_project(slide: Path):
    more = ("--seg-conf-thresh", "0.7", "--fill-holes", "--remove-artifacts", "--remove-penmarks")
    found = project(slide, *more, "--masks", str(slide.parent), "--min-tissue-proportion", "0.3")
    assert (found.slides.masks, found.geometry[0].min_tissue) == (slide.parent, 0.3)
    tissue = found.tissue
    assert (tissue.seg_conf_thresh, tissue.remove_holes) == (0.7, False)
    assert (tissue.remove_artifacts, tissue.remove_penmarks) == (True, True)


def test_weights_of_the_segmenter_may_be_given_where_it_runs(slide: Path):
    weights = ("--patch-encoder-ckpt-path", f"hest={slide}")
    assert project(slide, "--segmenter", "hest", *weights).weights == {"hest": slide}
    assert "names hest, which does not run here" in call(slide, *weights).output


def test_tissue_thresh_is_the_least_share_of_a_piece_and_min_tissue_that_of_a_patch(slide: Path):
    found = project(slide, "--tissue-thresh", "0.02", "--min-tissue", "0.5")
    assert (found.tissue.min_tissue_share, found.geometry[0].min_tissue) == (0.02, 0.5)


def test_speed_options_become_the_runtime(slide: Path):
    more = ("--device", "CUDA:1", "--feature-device", "cpu", "--feature-batch-size", "8", "--feature-num-workers", "3")
    found = project(
        slide, *more, "--seg-batch-size", "2", "--write-batch", "64", "--patch-workers", "5", "--max-open-slides", "1"
    ).runtime
    assert (found.device, found.feature_device, found.feature_batch_size) == ("cuda:1", "cpu", 8)
    assert (found.segmentation_batch_size, found.write_rows, found.read_workers) == (2, 64, 5)
    assert project(slide, "--patch-workers", "1", "--feature-num-workers", "3").runtime.read_workers == 3
    assert project(slide).runtime.feature_device is None


def test_picture_options_become_pictures(slide: Path):
    assert project(slide).pictures == Pictures()
    switches = ("--save-images", "--visualize-grids", "--visualize-mask", "--visualize-contours")
    expected = Pictures(grids=True, mask=True, contours=True, save_images=True)
    assert project(slide, *switches).pictures == expected


@pytest.mark.parametrize("precision", ["float32", "FLOAT16", "BFloat16", "own", "Own"])
def test_precision_is_understood_in_any_case(slide: Path, precision: str):
    assert geometry(slide, "--feature-precision", precision).precision == precision.lower()


def test_local_weights_belong_to_a_name_in_any_case(slide: Path):
    found = project(slide, "--patch-encoder-ckpt-path", f"EfficientNet_Lite0={slide}")
    assert found.weights == {"efficientnet_lite0": slide}


def test_help_and_import_load_nothing_heavy():
    heavy = ("torch", "cv2", "dagster", "numpy", "pydantic", "openslide", "h5py", "timm", "PIL")
    script = f"""
import sys
from atlaspatch_core.cli.fields import FieldOption
from atlaspatch_core.cli.main import cli
try:
    cli(["encode-slide", "--help"])
finally:
    print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "--slide-encoders" in done.stdout
    assert done.stderr.strip() == "[]"


def test_wrong_usage_loads_no_torch(slide: Path):
    script = f"""
import sys
from atlaspatch_core.cli.fields import FieldOption
from atlaspatch_core.cli.main import cli
try:
    cli({arguments(slide, "--segmenter", "oracle")})
finally:
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (2, "False")


def test_version_names_the_program():
    assert CliRunner().invoke(cli, ["--version"]).output.startswith("atlaspatch, version ")

"""Networks here have random, seeded weights, saved in the layout in which theirs are published."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from painting import paint_slide
from paths import DATA

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import InvalidProject, LicenseNotAllowed, MissingExtra, MissingWeights, WrongWeights
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.tissue.segmenters import (
    SEGMENTERS,
    Networks,
    Segmentation,
    TissueSpec,
    segment_tissue,
)
from atlaspatch_core.tissue.segmenters.artifacts import ARTIFACT_NETWORK, ARTIFACTS, without_artifacts
from atlaspatch_core.tissue.segmenters.background import Where, not_plain
from atlaspatch_core.tissue.segmenters.by_network import map_over, tissue_by_network
from atlaspatch_core.tissue.segmenters.declaration import TissuePixels
from atlaspatch_core.tissue.segmenters.grandqc import GRANDQC_NETWORK, as_jpeg
from atlaspatch_core.tissue.segmenters.hest import HEST_NETWORK
from atlaspatch_core.tissue.segmenters.networks import Network
from atlaspatch_core.tissue.segmenters.otsu_tiled import otsu_threshold, split
from atlaspatch_core.tissue.segmenters.sam2 import SAM2_NETWORK, from_meta, square_of
from atlaspatch_core.validity.outcome import Outcome
from atlaspatch_core.validity.recipe import TISSUE_MASK, make_recipe

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
STAIN = (190, 95, 150)


def slide_at(folder: Path, pixels: NDArray[np.uint8], mpp: float):
    """Write pixels as a slide of one level, and open it."""
    path = folder / f"painted-{mpp}-{pixels.shape[1]}x{pixels.shape[0]}.tiff"
    per_cm = (10_000 / mpp, 10_000 / mpp)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(256, 256), resolution=per_cm, resolutionunit="CENTIMETER")
    return open_slide(path, mpp=mpp, mpp_source="stated")


def texture(width: int, height: int) -> NDArray[np.uint8]:
    """Return stained tissue without a plain spot."""
    coarse = np.random.default_rng(3).integers(60, 220, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def plain_with_square(side: int, start: int, stop: int) -> NDArray[np.uint8]:
    """Return glass with a square of stain."""
    pixels = np.full((side, side, 3), 245, np.uint8)
    pixels[start:stop, start:stop] = STAIN
    return pixels


def seeded(network: Network) -> torch.nn.Module:
    """Return the network with weights that make its answers differ from pixel to pixel."""
    torch.manual_seed(7)
    module = network.architecture.build(None).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(part.bias, std=0.3)
            torch.nn.init.normal_(part.running_mean, std=0.1)  # type: ignore
    return module


def classes_of(module: torch.nn.Module, pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Return probabilities (classes, h, w) as the published tools compute them."""
    with torch.inference_mode():
        found = module((torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None] / 255 - MEAN) / STD)
    return (found["out"] if isinstance(found, dict) else found).softmax(dim=1)[0]


def padded(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, side - height), (0, side - width), (0, 0)), constant_values=255)


def same_mask(mask: NDArray[np.bool_], score: torch.Tensor, threshold: float) -> bool:
    """Tell whether a mask is that of ``score``, but for pixels that rounding decides."""
    expected = score.numpy()[: mask.shape[0], : mask.shape[1]]
    sure = np.abs(expected - threshold) > 1e-5
    return bool((mask == (expected > threshold))[sure].all() and sure.mean() > 0.99 and 0 < mask.mean() < 1)


def constant(folder: Path, network: Network, logits: tuple[float, ...]) -> Path:
    """Save a checkpoint of the network that answers these logits for every pixel."""
    head = {"hest": "classifier.4", "grandqc": "segmentation_head.0", "grandqc_artifact": "segmentation_head.0"}
    state = network.architecture.build(None).state_dict()
    state[f"{head[network.name]}.weight"].zero_()
    state[f"{head[network.name]}.bias"].copy_(torch.tensor(logits))
    path = folder / f"{network.name}.pth"
    torch.save(state, path)
    return path


def one_class(folder: Path, index: int) -> dict[str, Path]:
    """Return the weights of an artefact network that sees one class everywhere."""
    logits = tuple(9.0 if index == i else 0.0 for i in range(8))
    return {"grandqc_artifact": constant(folder, ARTIFACT_NETWORK, logits)}


@pytest.mark.e2e
def test_hest_gives_the_mask_of_the_model_that_its_lightning_checkpoint_came_from(tmp_path):
    module, pixels = seeded(HEST_NETWORK), texture(120, 100)
    state = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    state |= {"model.aux_classifier.4.weight": torch.zeros(21, 256, 1, 1)}
    torch.save({"epoch": 4, "pytorch-lightning_version": "2.0", "state_dict": state}, tmp_path / "hest.ckpt")
    tissue = classes_of(module, padded(pixels, 128))[1]
    spec = TissueSpec(segmenter="hest", seg_conf_thresh=float(tissue[:100, :120].median()))
    network = Networks({"hest": tmp_path / "hest.ckpt"}).get(replace(HEST_NETWORK, side=128, overlap=32))
    with slide_at(tmp_path, pixels, 1.0) as slide:
        found = tissue_by_network(slide, spec, network, 1)
    assert found.downsample == 1
    assert same_mask(found.mask, tissue, spec.seg_conf_thresh)


@pytest.mark.e2e
def test_grandqc_gives_the_mask_of_the_model_that_its_checkpoint_came_from(tmp_path):
    module, pixels = seeded(GRANDQC_NETWORK), texture(300, 200)
    torch.save(module.state_dict(), tmp_path / "Tissue_Detection_MPP10.pth")
    tissue = classes_of(module, as_jpeg(padded(pixels, 512)))[0]
    spec = TissueSpec(segmenter="grandqc", seg_conf_thresh=float(tissue[:200, :300].median()))
    networks = Networks({"grandqc": tmp_path / "Tissue_Detection_MPP10.pth"})
    with slide_at(tmp_path, pixels, 10.0) as slide:
        found = SEGMENTERS["grandqc"].segment(slide, spec, networks)
    assert same_mask(found.mask, tissue, spec.seg_conf_thresh)


def test_artefacts_are_the_pixels_whose_likeliest_class_is_removed(tmp_path):
    module, pixels = seeded(ARTIFACT_NETWORK), texture(200, 180)
    torch.save(module.state_dict(), tmp_path / "GrandQC_MPP1_state_dict.pth")
    likeliest = classes_of(module, padded(pixels, 512)).argmax(dim=0).numpy()[:180, :200]
    left_of_it = np.zeros((180, 200), bool)
    left_of_it[:, :150] = True
    networks = Networks({"grandqc_artifact": tmp_path / "GrandQC_MPP1_state_dict.pth"})
    with slide_at(tmp_path, pixels, 1.0) as slide:
        found = without_artifacts(slide, TissuePixels(left_of_it, 1.0), networks)
    expected = left_of_it & ~np.isin(likeliest, ARTIFACTS)
    assert (found.mask == expected).mean() > 0.999
    assert found.numbers["artifact_share"] == pytest.approx(1 - expected.sum() / left_of_it.sum(), abs=1e-3)


def sam2_checkpoint() -> dict[str, torch.Tensor]:
    """Return all 471 tensors of Meta's SAM 2.1 Hiera-tiny, with seeded values of a sensible size."""
    values = np.random.RandomState(0)
    state = {}
    for name, shape in json.loads((DATA / "sam2_hiera_tiny_tensors.json").read_text()).items():
        value = values.standard_normal(shape)
        if "norm" in name and name.endswith("weight"):
            value = 1 + 0.1 * value
        elif "gaussian_matrix" not in name:
            value = value / np.sqrt(max(1, np.prod(shape[1:]))) if len(shape) > 1 else 0.1 * value
        state[name] = torch.from_numpy(value.astype(np.float32))
    return state


OF_META = (
    "f037fffff037ffffcfffffffcffffffffffcfffffffcfffffffffffffffff3fffffffffffffffffffff3fffcfff3fffc"
    "fffcf7c3fffcffc3fffffbfffefffbfff033fffff033ffffffffffffffffffffccffffffccfeffbfffffffffffffffff"
    "ff3fffcfff3fffcfffffffffffffff3ffffffffffffffffffefef3fffefef3ff"
)
"""Bits of every 32nd pixel of the mask that Meta's sam2 1.1.0 gives of ``sam2_checkpoint`` and the picture below."""


@pytest.mark.e2e
def test_sam2_gives_the_mask_that_metas_package_gives_of_the_same_checkpoint(tmp_path):
    torch.save({"model": sam2_checkpoint()}, tmp_path / "model.pth")
    blocks = np.random.RandomState(1).randint(0, 256, (16, 16, 3)).astype(np.uint8)
    with slide_at(tmp_path, blocks.repeat(64, 0).repeat(64, 1), 8.0) as slide:
        found = SEGMENTERS["sam2"].segment(slide, TissueSpec("sam2"), Networks({"sam2": tmp_path / "model.pth"}))
    assert (found.mask.shape, found.downsample) == ((1024, 1024), 1.0)
    assert np.packbits(found.mask[16::32, 16::32]).tobytes().hex() == OF_META


@pytest.mark.e2e
def test_sam2_loads_all_that_a_picture_needs_and_misses_nothing():
    own = SAM2_NETWORK.architecture.build(None).state_dict()
    given = from_meta(sam2_checkpoint(), own)
    assert {name: tuple(tensor.shape) for name, tensor in given.items()} == {
        name: tuple(tensor.shape) for name, tensor in own.items()
    }


def test_sam2_sees_the_whole_slide_stretched_to_a_square(tmp_path):
    pixels = np.full((300, 600, 3), 245, np.uint8)
    pixels[:, :300] = STAIN
    with slide_at(tmp_path, pixels, 16.0) as slide:
        square = square_of(slide, SAM2_NETWORK)
    assert square.shape == (1024, 1024, 3)
    assert np.abs(square[:, :500].astype(int) - STAIN).max() <= 1
    assert (square[:, 530:] >= 244).all()


def test_a_slide_of_many_tiles_has_no_seam(tmp_path):
    path = constant(tmp_path, GRANDQC_NETWORK, (0.0, 1.0))
    network = Networks({"grandqc": path}, batch_size=3).get(replace(GRANDQC_NETWORK, side=64, overlap=16))
    with slide_at(tmp_path, texture(150, 130), 10.0) as slide:
        everywhere = Where(np.ones((1, 1), bool), 150.0)
        found, downsample = map_over(slide, network, lambda classes: classes[:, 1], everywhere)
    assert (found.shape, downsample) == ((130, 150), 1.0)
    assert np.abs(found - torch.tensor([0.0, 1.0]).softmax(0)[1].item()).max() < 1e-6


@pytest.mark.e2e
def test_a_threshold_below_a_half_finds_more_tissue_with_grandqc(tmp_path):
    networks = Networks({"grandqc": constant(tmp_path, GRANDQC_NETWORK, (0.0, 0.8473))})  # probability of tissue 0.3
    with slide_at(tmp_path, texture(256, 256), 10.0) as slide:
        shares = [
            segment_tissue(slide, TissueSpec("grandqc", seg_conf_thresh=threshold), networks).numbers["tissue_share"]
            for threshold in (0.25, 0.4, 0.6)
        ]
    assert shares == [1, 0, 0]


def test_jpeg_keeps_colours_in_their_channels():
    reds = np.full((64, 64, 3), (200, 40, 90), np.uint8)
    assert np.abs(as_jpeg(reds).astype(int) - reds).max() <= 4


def test_only_tiles_that_hold_something_are_shown_to_a_network(tmp_path):
    with slide_at(tmp_path, plain_with_square(256, 100, 140), 8.0) as slide:
        where = not_plain(slide)
    rows, columns = np.nonzero(where.mask)
    assert 97 <= rows.min() < 100 <= 139 < rows.max() <= 142
    assert 97 <= columns.min() < 100 <= 139 < columns.max() <= 142


def test_artefacts_take_tissue_away_and_never_add_any(tmp_path):
    with slide_at(tmp_path, plain_with_square(400, 100, 300), 1.0) as slide:
        plain = segment_tissue(slide, TissueSpec())
        spec = TissueSpec(remove_artifacts=True)
        normal = segment_tissue(slide, spec, Networks(one_class(tmp_path, 1)))
    assert normal.polygons == plain.polygons
    assert (normal.numbers["artifact_share"], normal.numbers["emptied_by_artifacts"]) == (0, 0)


def test_a_mask_that_artefacts_empty_says_so(tmp_path):
    with slide_at(tmp_path, plain_with_square(400, 100, 300), 1.0) as slide:
        found = segment_tissue(slide, TissueSpec(remove_artifacts=True), Networks(one_class(tmp_path, 6)))
    assert found.polygons == ()
    assert (found.numbers["artifact_share"], found.numbers["emptied_by_artifacts"]) == (1, 1)


@pytest.mark.parametrize(("index", "fragments"), [(4, 0), (6, 1)])
def test_removing_pen_marks_alone_leaves_other_artefacts(tmp_path, index, fragments):
    with slide_at(tmp_path, plain_with_square(400, 100, 300), 1.0) as slide:
        spec = TissueSpec(segmenter="otsu_tiled", remove_penmarks=True)
        found = segment_tissue(slide, spec, Networks(one_class(tmp_path, index)))
    assert found.numbers["fragments"] == fragments
    assert found.numbers["emptied_by_artifacts"] == 1 - fragments


def test_otsu_needs_no_network_for_pen_marks():
    assert Segmentation(TissueSpec(remove_penmarks=True)).networks == ()
    assert Segmentation(TissueSpec(segmenter="hest", remove_penmarks=True)).networks == (HEST_NETWORK, ARTIFACT_NETWORK)
    assert Segmentation(TissueSpec(remove_artifacts=True)).networks == (ARTIFACT_NETWORK,)


def test_a_slide_without_tissue_has_no_artefacts(tmp_path):
    with slide_at(tmp_path, np.full((64, 64, 3), 245, np.uint8), 4.0) as slide:
        found = segment_tissue(slide, TissueSpec(remove_artifacts=True), Networks(one_class(tmp_path, 6)))
    assert (found.numbers["artifact_share"], found.numbers["emptied_by_artifacts"]) == (0, 0)


def test_holes_are_filled_where_they_are_not_removed(tmp_path):
    pixels = plain_with_square(400, 50, 350)
    pixels[150:250, 150:250] = 245
    with slide_at(tmp_path, pixels, 4.0) as slide:
        ring = segment_tissue(slide, TissueSpec())
        whole = segment_tissue(slide, TissueSpec(remove_holes=False))
    assert (ring.numbers["holes"], whole.numbers["holes"]) == (1, 0)
    assert whole.numbers["tissue_share"] == pytest.approx((300 / 400) ** 2, rel=0.03)


def test_weights_that_are_not_there_are_one_sentence_with_the_cure(tmp_path):
    with (
        slide_at(tmp_path, texture(64, 64), 8.0) as slide,
        pytest.raises(MissingWeights, match=r"hest: no weights at .*nowhere.ckpt; correct the path given for hest"),
    ):
        segment_tissue(slide, TissueSpec(segmenter="hest"), Networks({"hest": tmp_path / "nowhere.ckpt"}))


def test_weights_that_cannot_be_fetched_are_one_sentence_with_the_cure(tmp_path):
    code = (
        "from atlaspatch_core.tissue.segmenters.networks import Networks\n"
        "from atlaspatch_core.tissue.segmenters.hest import HEST_NETWORK\n"
        "try: Networks().get(HEST_NETWORK)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, check=True).stdout
    assert said.strip() == (
        "MissingWeights hest: no weights from https://huggingface.co/MahmoodLab/hest-tissue-seg (this run is offline); "
        "go online once, or name a local copy: --patch-encoder-ckpt-path hest=PATH, "
        "or [weights] hest in the project file"
    )


def test_a_package_that_is_not_installed_is_one_sentence_with_the_cure(tmp_path, monkeypatch):
    (tmp_path / "grandqc.pth").write_bytes(b"any")
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(MissingExtra, match=r"grandqc: needs .*; run: pip install 'atlaspatch\[grandqc\]'"):
        Networks({"grandqc": tmp_path / "grandqc.pth"}).get(GRANDQC_NETWORK)


def test_weights_of_another_network_are_refused_by_the_names_of_their_tensors(tmp_path):
    path = constant(tmp_path, ARTIFACT_NETWORK, (0.0,) * 8)
    with pytest.raises(WrongWeights, match=r"grandqc: .*missing decoder\.blocks\.x_0_0"):
        Networks({"grandqc": path}).get(GRANDQC_NETWORK)


def test_weights_with_a_declared_hash_are_checked(tmp_path):
    torch.save({"model": {}}, tmp_path / "model.pth")
    with pytest.raises(WrongWeights, match="sam2"):
        Networks({"sam2": tmp_path / "model.pth"}).get(SAM2_NETWORK)


def test_a_mask_is_decided_by_the_bytes_of_the_weights_and_not_by_their_path(tmp_path):
    for name, content in (("a.pth", b"one"), ("b.pth", b"one"), ("c.pth", b"two")):
        (tmp_path / name).write_bytes(content)
    specs = [
        Segmentation(TissueSpec(segmenter="grandqc"), {"grandqc": tmp_path / name}).spec()
        for name in ("a.pth", "b.pth", "c.pth")
    ]
    assert specs[0] == specs[1] != specs[2]
    assert Segmentation(TissueSpec(), {"grandqc": tmp_path / "a.pth"}).spec() == Segmentation(TissueSpec()).spec()
    assert json.loads(json.dumps(specs[0])) == specs[0]


@pytest.mark.e2e
def test_other_weights_at_the_same_path_make_a_mask_stale(tmp_path):
    path = constant(tmp_path, GRANDQC_NETWORK, (2.0, 0.0))
    source = SlideSource("a", paint_slide(tmp_path / "a.svs", texture(512, 512), objective_power=20))
    values = {"output": tmp_path / "out", "tissue": {"segmenter": "grandqc"}, "weights": {"grandqc": path}}
    recipe = make_recipe(make_project({**values, "runtime": {"device": "cpu"}}, origin="test"))

    def mask() -> Outcome:
        return next(outcome for outcome in process([source], recipe) if outcome.step == TISSUE_MASK)

    first, again = mask(), mask()
    constant(tmp_path, GRANDQC_NETWORK, (-2.0, 0.0))
    changed = mask()
    assert [str(outcome.status) for outcome in (first, again, changed)] == ["computed", "reused", "computed"]
    assert "networks.grandqc.weights.sha256" in changed.why
    assert (first.numbers["tissue_share"], changed.numbers["tissue_share"]) == (1, 0)


def test_licences_of_all_networks_of_a_mask_must_be_allowed():
    allowed = {"allow_licenses": ["Apache-2.0", "MIT"]}
    make_recipe(make_project({**allowed, "tissue": {"segmenter": "otsu"}}, origin="test"))
    for tissue in ({"segmenter": "hest"}, {"segmenter": "otsu", "remove_artifacts": True}):
        with pytest.raises(LicenseNotAllowed, match=r"hest|grandqc_artifact"):
            make_recipe(make_project({**allowed, "tissue": tissue}, origin="test"))


def test_a_network_is_loaded_once_for_many_slides(tmp_path):
    networks = Networks({"grandqc": constant(tmp_path, GRANDQC_NETWORK, (1.0, 0.0))})
    assert networks.get(GRANDQC_NETWORK) is networks.get(GRANDQC_NETWORK)


@pytest.mark.parametrize("threshold", [0, 1, -0.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(InvalidProject, match="seg_conf_thresh"):
        TissueSpec(seg_conf_thresh=threshold)


def test_listing_segmenters_imports_no_torch():
    code = (
        "import sys; from atlaspatch_core.tissue.segmenters import SEGMENTERS; print(sorted(SEGMENTERS));"
        "print([name for name in ('torch', 'transformers', 'huggingface_hub') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "['grandqc', 'hest', 'otsu', 'otsu_tiled', 'sam2']\n[]\n"


def test_every_network_states_licence_source_and_page():
    networks = [segmenter.network for segmenter in SEGMENTERS.values() if segmenter.network] + [ARTIFACT_NETWORK]
    assert len({network.name for network in networks}) == 4
    for network in networks:
        assert network.license
        assert network.homepage.startswith("https://")


def test_otsu_threshold_lies_between_two_values():
    gray = np.array([[10.0] * 60 + [200.0] * 40])
    assert 10 < otsu_threshold(gray) < 200
    assert otsu_threshold(np.full((3, 3), 7.0)) == 7


def test_a_tile_of_one_colour_has_no_tissue():
    for colour in (255, 0, 120):
        assert not split(np.full((512, 512, 3), colour, np.uint8)).any()


def test_a_tile_is_split_into_stain_and_glass():
    tile = plain_with_square(512, 100, 300)
    tile[150:160, 150:160] = 245  # a hole
    tile[400:405, 400:405] = STAIN  # 25 px
    tile[350:390, 50:90] = 120  # a shadow
    expected = np.zeros((512, 512), bool)
    expected[100:300, 100:300] = True
    assert np.array_equal(split(tile), expected)


def test_a_dark_slide_is_noticed_by_segmenters_without_eyes_for_it(tmp_path):
    pixels = np.full((256, 256, 3), 3, np.uint8)
    pixels[100:140, 100:140] = (20, 200, 40)
    with slide_at(tmp_path, pixels, 8.0) as slide:
        found = segment_tissue(slide, TissueSpec(segmenter="otsu_tiled"))
    assert found.numbers["dark_share"] == pytest.approx(1 - 1600 / 256**2, abs=0.01)


def test_otsu_tiled_finds_what_lies_in_any_tile(tmp_path):
    pixels = plain_with_square(700, 560, 690)
    pixels[100:200, 100:200] = STAIN
    with slide_at(tmp_path, pixels, 8.0) as slide:
        found = segment_tissue(slide, TissueSpec(segmenter="otsu_tiled"))
    assert [piece.bounds for piece in found.polygons] == [(100, 100, 200, 200), (560, 560, 690, 690)]

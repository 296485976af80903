"""One slide step by step from Python: outlines, coords, pixels and features are those that ``encode-slide`` stores."""

import json
import multiprocessing
import pickle
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from plugins import TINY_ENCODER, plugin_file
from rounds import examples

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.errors import InvalidProject, MissingDevice, UnknownName, UnreadableSlide

NO_GPU = st.one_of(
    st.booleans(), st.none(), st.floats(), st.text("abc-"), st.integers(max_value=-2), st.integers(min_value=10**4)
)
NO_GPUS = st.one_of(
    NO_GPU.filter(lambda value: value is not None),
    st.lists(NO_GPU, min_size=1),
    st.tuples(st.integers(-1, 9), NO_GPU),
    st.sampled_from(["", "0,x", "-2", "1_0", "0;1", b"01", {0: 1}, ["-1"], [[0]], [np.arange(2)], 10**5000]),
)
GPU_KINDS = (
    list,
    tuple,
    iter,
    np.array,
    lambda numbers: numbers[0],
    lambda numbers: ",".join(map(str, numbers)),
    lambda numbers: " ".join(map(str, numbers)),
)


def paint(path: Path, seed: int = 0, mpp: float | None = 0.5) -> Path:
    """Write a slide of two levels: tissue of many colours with a hole."""
    pixels, chance = white(1536, 1280), np.random.default_rng(seed)
    pixels[128:1152, 256:1280] = chance.integers((150, 40, 100), (250, 120, 200), (1024, 1024, 3))
    stain(pixels, 600, 500, 200, 200, (243, 243, 243))
    return paint_slide(path, pixels, mpp=mpp, levels=(1, 2))


@pytest.fixture
def slide(tmp_path) -> ap.OpenedSlide:
    return ap.open_slide(paint(tmp_path / "a.svs"))


@given(
    seed=st.integers(0, 9),
    mpp=st.sampled_from([None, 0.25, 0.4]),
    mag=st.sampled_from([5, 10, 20]),
    step=st.sampled_from([None, 64, 200]),
    fill=st.booleans(),
)
@examples(8)
def test_every_step_gives_what_the_command_stores(seed, mpp, mag, step, fill):
    with tempfile.TemporaryDirectory() as name:
        path, plugin = paint(Path(name) / "a.svs", seed), plugin_file(TINY_ENCODER)
        words = ["--patch-size", 128, "--target-mag", mag, "--patch-encoders", "tiny", "--feature-plugin", plugin]
        words += ["--device", "cpu", "--slide-encoders", "mean-tiny", *(["--mpp", mpp] if mpp else [])]
        words += [*(["--step-size", step] if step else []), *(["--fill-holes"] if fill else [])]
        done = CliRunner().invoke(cli, [str(word) for word in ("encode-slide", path, "-o", f"{name}/out", *words)])
        assert done.exit_code == 0, done.output

        with ap.open_slide(path, mpp=mpp) as slide:
            tissue = ap.segment(slide, remove_holes=not fill)
            grid = ap.lay_grid(slide, tissue, patch_size=128, target_mag=mag, step_size=step)
            features = ap.encode(slide, grid, "tiny", plugins=[plugin], device="cpu")
            embedding = ap.encode(slide, grid, "mean-tiny", features=features, plugins=[plugin], device="cpu")
        stored = json.loads((Path(name) / "out" / "contours_geojson" / "a.geojson").read_text())
        assert [it["geometry"] for it in tissue.geojson()["features"]] == [it["geometry"] for it in stored["features"]]
        with h5py.File(Path(name) / "out" / "patches" / "a.h5") as file:
            assert np.array_equal(file["coords"][:, :2], grid.coords)
            assert np.array_equal(file["tissue_fraction"][:], grid.tissue_fraction)
            assert np.array_equal(file["features/tiny"][:], features)
            assert np.array_equal(file["slide_features/mean-tiny"][:], embedding)


def test_workers_of_a_loader_read_the_pixels_that_patches_yields(slide):
    from torch.utils.data import DataLoader

    grid = ap.lay_grid(slide, ap.segment(slide), patch_size=256, target_mag=10)
    by_row = {patch.row: patch.pixels for patch in ap.patches(slide, grid)}

    batches = list(DataLoader(ap.PatchDataset(slide, grid), batch_size=3, num_workers=2))

    pixels = np.concatenate([pixels.numpy() for pixels, _ in batches])
    assert np.array_equal(pixels, np.stack([by_row[row] for row in range(len(grid))]))
    assert np.array_equal(np.concatenate([coords.numpy() for _, coords in batches]), grid.coords)


def mean_of(slide: ap.OpenedSlide) -> float:
    return float(slide.read_region(ap.Region(x=256, y=128, level=0, width=64, height=64)).mean())


def test_a_slide_is_pickled_and_opened_again_in_another_process(slide):
    copy = pickle.loads(pickle.dumps(slide))
    assert (copy.info, mean_of(copy)) == (slide.info, mean_of(slide))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(mean_of, [slide]) == [mean_of(slide)]


def test_a_folder_that_python_made_is_reused_by_the_command(tmp_path):
    paint(tmp_path / "slides.svs")
    options = {"patch_size": 256, "target_mag": 20, "slide_encoders": "mean-tiny", "device": "cpu"}
    plugin = plugin_file(TINY_ENCODER)
    made = ap.process(tmp_path / "slides.svs", tmp_path / "out", feature_plugin=[plugin], **options)
    assert {str(outcome.status) for outcome in made} == {"computed"}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    words += ["--feature-plugin", plugin]
    command = ("encode-slide", tmp_path / "slides.svs", "-o", tmp_path / "out", *words)
    again = CliRunner().invoke(cli, [str(word) for word in command])
    assert "0 computed, 1 reused, 0 failed" in again.output
    assert ap.results(tmp_path / "out").stems == ("slides",)


def test_wrong_arguments_are_one_sentence(slide, tmp_path):
    tissue = ap.segment(slide)
    with pytest.raises(UnreadableSlide, match=r"nothing\.svs"):
        ap.open_slide(tmp_path / "nothing.svs")
    with pytest.raises(InvalidProject, match=r"ap\.segment: there is no option remove_hole; did you mean remove_holes"):
        ap.segment(slide, remove_hole=True)  # type: ignore[call-arg]
    with pytest.raises(InvalidProject, match="overlap 256 is not from 0 to below the patch size 256"):
        ap.lay_grid(slide, tissue, patch_size=256, target_mag=20, overlap=256)
    with pytest.raises(UnknownName, match="uni_v9"):
        ap.encode(slide, ap.lay_grid(slide, tissue, patch_size=256, target_mag=20), "uni_v9")
    with pytest.raises(InvalidProject, match="there is no option min_tisue; did you mean min_tissue"):
        ap.process(slide, tmp_path / "out", patch_size=256, target_mag=20, min_tisue=0.5)


@pytest.mark.e2e
def test_workers_make_what_one_process_makes(bundled):
    options = {"patch_size": 256, "target_mag": 20, "patch_encoders": "efficientnet_lite0", "device": "cpu"}
    for name in ("b", "c"):
        shutil.copy("CMU-1-Small-Region.svs", f"{name}.svs")
    alone = ap.process(["b.svs", "c.svs"], "alone", **options)
    together = ap.process(["b.svs", "c.svs"], "together", gpus=[-1, -1], **options)
    assert {(it.stem, str(it.step), str(it.status)) for it in alone} == {
        (it.stem, str(it.step), str(it.status)) for it in together
    }
    for stem in ("b", "c"):
        one, other = (ap.results(output).features(stem) for output in ("alone", "together"))
        np.testing.assert_array_equal(one, other)


@pytest.mark.e2e
def test_a_real_encoder_gives_over_several_batches_what_the_command_stores(bundled):
    words = ["--patch-size=224", "--target-mag=20", "--min-tissue=0.3", "--step-size=160"]
    words += ["--patch-encoders=efficientnet_lite0", "--device=cpu", "--output=by_command"]
    done = CliRunner().invoke(cli, ["encode-slide", "CMU-1-Small-Region.svs", *words])
    assert done.exit_code == 0, done.output
    with ap.open_slide("CMU-1-Small-Region.svs") as slide:
        grid = ap.lay_grid(slide, ap.segment(slide), patch_size=224, target_mag=20, step_size=160, min_tissue=0.3)
        assert len(grid) > 64
        features = ap.encode(slide, grid, "efficientnet_lite0", device="cpu")
    stored = ap.results("by_command")
    np.testing.assert_array_equal(stored.coords("CMU-1-Small-Region"), grid.coords)
    np.testing.assert_array_equal(stored.features("CMU-1-Small-Region"), features)


@pytest.mark.e2e
def test_workers_that_were_spawned_open_the_slide_for_themselves(bundled):
    from torch.utils.data import DataLoader

    slide = ap.open_slide("CMU-1-Small-Region.svs")
    grid = ap.lay_grid(slide, ap.segment(slide), patch_size=256, target_mag=20)
    patches = ap.PatchDataset(slide, grid)
    loader = DataLoader(patches, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    here = [patches[number] for number in range(len(patches))]
    for own, theirs in zip(here, loader, strict=True):
        for one, other in zip(own, theirs, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_gpu_that_is_not_there_is_said_before_anything_is_made(bundled):
    with pytest.raises(MissingDevice, match="cuda:77"):
        ap.process("CMU-1-Small-Region.svs", "none", patch_size=256, target_mag=20, gpus=[77])
    assert not Path("none").exists()


@examples(200)
@given(gpus=NO_GPUS)
def test_what_is_no_number_of_a_gpu_is_refused_in_one_sentence(gpus):
    with pytest.raises(InvalidProject, match=r"^ap\.process: gpus: .+ is no GPU; give whole numbers from -1") as error:
        ap.process("none.svs", "none", patch_size=256, target_mag=20, gpus=gpus)
    assert len(str(error.value)) < 250
    assert "\n" not in str(error.value)


@examples(100)
@given(numbers=st.lists(st.integers(-1, 99), min_size=1), kind=st.sampled_from(GPU_KINDS))
def test_gpus_are_a_number_several_or_a_text_and_never_ignored(numbers, kind):
    with pytest.raises(InvalidProject, match="either gpus or feature_device"):
        ap.process("none.svs", "none", patch_size=256, target_mag=20, gpus=kind(numbers), feature_device="cpu")


@pytest.mark.parametrize("gpus", [None, (), []])
def test_without_gpus_the_device_counts(gpus):
    with pytest.raises(MissingDevice, match="cuda:77"):
        ap.process("none.svs", "none", patch_size=256, target_mag=20, gpus=gpus, device="cuda:77")


def test_several_gpus_and_a_device_for_features_are_either_or(bundled):
    with pytest.raises(InvalidProject, match="either gpus or feature_device"):
        ap.process("CMU-1-Small-Region.svs", "none", patch_size=256, target_mag=20, gpus=[-1, -1], feature_device="cpu")

"""Which level is read, and how many px of it."""

from pathlib import Path

import pytest

from atlaspatch_core.errors import FinerThanScanned
from atlaspatch_core.patches.grid_spec import GridSpec
from atlaspatch_core.patches.scale import Sampling, choose_sampling
from atlaspatch_core.slides.slide import Level, SlideInfo

pytestmark = pytest.mark.quick


def slide(mpp: float = 0.25, downsamples: tuple[float, ...] = (1, 4, 16), magnification: float = 40) -> SlideInfo:
    levels = tuple(Level(round(40_000 / d), round(20_000 / d), d) for d in downsamples)
    return SlideInfo(
        "s", Path("s.svs"), "openslide", levels, mpp, "openslide.mpp-x", magnification, "openslide.objective-power"
    )


def true(info: SlideInfo, mpp: float, size: int = 256, step: int | None = None) -> Sampling:
    return choose_sampling(info, GridSpec(patch_size=size, step_size=step, target_mpp=mpp))


def nominal(info: SlideInfo, magnification: int, size: int = 256, step: int | None = None) -> Sampling:
    spec = GridSpec(patch_size=size, step_size=step, target_mpp=10 / magnification, scale="nominal")
    return choose_sampling(info, spec)


def test_level_within_five_percent_is_read_as_it_is_and_keeps_its_true_mpp():
    assert true(slide(mpp=0.499, downsamples=(1,)), 0.5) == Sampling(256, 0, 256, 256, 256, 0.499)
    assert true(slide(mpp=0.25), 1.0, step=128) == Sampling(256, 1, 256, 1024, 512, 1.0)


def test_nearest_of_two_native_levels_is_read():
    assert true(slide(mpp=0.24, downsamples=(1, 1.05, 4)), 0.252).level == 1


def test_coarser_target_reads_the_coarsest_finer_level_to_be_averaged():
    assert true(slide(mpp=0.25), 0.5) == Sampling(256, 0, 512, 512, 512, 0.5)
    assert true(slide(mpp=0.25), 2.0, step=128) == Sampling(256, 1, 512, 2048, 1024, 2.0)
    assert true(slide(mpp=0.25), 8.0) == Sampling(256, 2, 512, 8192, 8192, 8.0)


def test_sizes_are_the_nearest_px_and_the_mpp_is_that_of_what_is_read():
    sampling = true(slide(mpp=0.23), 0.5, size=224)
    assert (sampling.level, sampling.read_size, sampling.patch_size_level0) == (0, 487, 487)
    assert sampling.mpp == pytest.approx(0.23 * 487 / 224, rel=1e-12)


def test_fractional_downsamples_are_kept_exact():
    sampling = true(slide(mpp=0.25, downsamples=(1, 3.998)), 1.0)
    assert (sampling.level, sampling.read_size, sampling.patch_size_level0) == (1, 256, 1023)
    assert sampling.mpp == pytest.approx(0.9995)


@pytest.mark.parametrize(("stored", "read_size"), [(4.0026, 1024), (4.09, 1024), (3.998, 1025), (3.95, 1037)])
def test_trident_reads_by_whole_downsamples_where_that_keeps_the_scale(stored, read_size):
    """TRIDENT itself reads by 3 where a level has 3.998: a third too much."""
    spec = GridSpec(patch_size=1024, target_mpp=1.0, scale="nominal", rule="trident")
    sampling = choose_sampling(slide(downsamples=(1, stored)), spec)
    assert (sampling.level, sampling.read_size, sampling.patch_size_level0) == (1, read_size, 4096)


@pytest.mark.parametrize(("target", "level"), [(0.95, 0), (1.05, 0), (3.8, 1), (4.2, 1), (3.79, 0), (4.21, 1)])
def test_five_percent_is_of_the_level_and_inclusive(target, level):
    sampling = true(slide(mpp=1.0, downsamples=(1, 4)), target)
    assert sampling.level == level
    assert (sampling.read_size == 256) == (target not in (3.79, 4.21))


def test_finer_than_scanned_is_refused_with_both_values_and_the_cure():
    with pytest.raises(FinerThanScanned) as caught:
        true(slide(mpp=0.5, magnification=20), 0.25)
    assert str(caught.value) == (
        "s: asked for 0.25 µm/px (40x), scanned at 0.5 µm/px (openslide.mpp-x); ask for 0.5 µm/px or more (20x or less)"
    )
    with pytest.raises(FinerThanScanned):
        true(slide(mpp=1.0), 0.949)


def test_a_scan_that_is_called_as_fine_as_asked_for_is_told_of_the_nominal_scale():
    """A GT450 at 40x has 0.2639 µm/px, which is finer by more than 5 % when asked for in µm."""
    gt450 = slide(mpp=0.2639)
    with pytest.raises(FinerThanScanned) as caught:
        true(gt450, 0.25)
    assert str(caught.value).endswith(
        "ask for 0.2639 µm/px or more (37.89x or less), or take the 40x of the scanner for 40x (--scale nominal)"
    )
    assert nominal(gt450, 40) == Sampling(256, 0, 256, 256, 256, 0.2639)


def test_step_is_never_nothing():
    assert true(slide(mpp=0.5), 0.5, size=4, step=1).step_size_level0 == 1


@pytest.mark.parametrize(
    ("magnification", "downsamples", "size", "step", "target", "expected"),
    [
        (40, (1.0, 4.0, 16.0), 256, None, 20, (0, 512, 512, 512)),
        (20, (1.0, 4.0), 224, 112, 20, (0, 224, 224, 112)),
        (40, (1.0, 4.0002, 16.01), 512, None, 10, (1, 512, 2048, 2048)),
        (40, (1.0, 2.0, 4.0), 224, None, 30, (0, 299, 299, 299)),
    ],
)
def test_nominal_scale_gives_the_numbers_of_atlaspatch(magnification, downsamples, size, step, target, expected):
    """Level, px read, patch and step in level-0 px as AtlasPatch 1.1.0 was seen to choose them."""
    sampling = nominal(slide(downsamples=downsamples, magnification=magnification), target, size, step)
    found = sampling.level, sampling.read_size, sampling.patch_size_level0, sampling.step_size_level0
    assert found == expected


@pytest.mark.parametrize(
    ("downsamples", "downsample", "level"),
    [
        ((1, 4, 16), 2, 0),
        ((1, 4.005, 16), 4, 1),
        ((1, 3.98, 16), 4, 1),
        ((1, 4.02, 16.1), 4, 0),
        ((1, 4, 16), 32, 2),
        ((1, 4, 16), 1, 0),
    ],
)
def test_nominal_level_is_equal_within_a_hundredth_or_the_next_finer(downsamples, downsample, level):
    assert nominal(slide(downsamples=downsamples, magnification=32), 32 // downsample).level == level


def test_nominal_scale_goes_by_magnification_and_reports_the_true_mpp():
    sampling = nominal(slide(mpp=0.2754, magnification=40), 20)
    assert (sampling.patch_size_level0, sampling.mpp) == (512, pytest.approx(0.5508))


@pytest.mark.parametrize("target", range(1, 41))
def test_nominal_downsample_is_not_blurred_by_ten_over_magnification(target):
    assert nominal(slide(magnification=40), target, size=target).patch_size_level0 == 40


def test_nominal_halves_round_to_even():
    assert nominal(slide(magnification=40, downsamples=(1,)), 16, size=225).patch_size_level0 == 562


def test_nominal_magnification_above_the_scan_is_refused():
    with pytest.raises(FinerThanScanned, match=r"^s: asked for 40x, scanned at 20x .*; ask for 20x or less"):
        nominal(slide(mpp=0.25, magnification=20), 40)

"""What is assumed of encoders that nobody measured, and the page that says it."""

import pytest
from patch_encoder_facts import MILLIONS

from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.operations.estimate import usual_rate
from atlaspatch_core.operations.network_costs import NETWORKS, assumed_patches_per_second
from atlaspatch_core.validity.outcome import OutputKey
from website.hardware import HARDWARE
from website.network_costs import ALIKE

pytestmark = pytest.mark.quick


def test_networks_are_those_of_encoders_with_their_parameters():
    assert NETWORKS.keys() <= PATCH_ENCODERS.keys()
    assert ALIKE.keys() <= NETWORKS.keys(), "make options writes them"
    assert MILLIONS.keys() <= NETWORKS.keys(), "make options writes them"
    counted = MILLIONS.keys() & NETWORKS.keys() - ALIKE.keys()
    assert {name: NETWORKS[name].millions for name in counted} == pytest.approx(
        {name: MILLIONS[name] for name in counted}, abs=0.051
    )


@pytest.mark.parametrize("name", sorted(MILLIONS.keys() & ALIKE.keys()))
def test_a_network_of_the_same_layout_has_nearly_its_parameters(name: str):
    assert NETWORKS[name].millions == pytest.approx(MILLIONS[name], rel=0.02)


@pytest.mark.parametrize(
    ("name", "alike"), [("keep", "uni_v1"), ("rudolfv2-s", "lunit_vit_small_patch8_dino"), ("hibou_l", "kaiko-vitl14")]
)
def test_networks_of_others_take_what_a_network_of_the_same_layout_takes(name: str, alike: str):
    assert NETWORKS[name].gflop == pytest.approx(NETWORKS[alike].gflop, rel=0.02)
    assert assumed_patches_per_second(name, False) < 5


def test_a_large_network_is_assumed_to_be_slower_and_a_gpu_faster():
    small, large = (usual_rate(OutputKey("patch_features", name), "cpu") for name in ("resnet18", "uni_v2"))
    assert large.per_second < small.per_second / 10
    assert usual_rate(OutputKey("patch_features", "uni_v2"), "cuda:0").per_second > 100 * large.per_second


def test_an_unknown_network_counts_as_a_small_one():
    assert assumed_patches_per_second("mine", False) == assumed_patches_per_second("efficientnet_lite0", False)


def test_the_table_of_the_docs_has_the_rates_of_the_estimate():
    assert HARDWARE.updated() == HARDWARE.text(), "make options writes it"

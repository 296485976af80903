"""What is assumed of encoders that nobody measured, and the page that says it."""

import pytest
from patch_encoder_facts import MILLIONS

from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.operations.estimate import usual_rate
from atlaspatch_core.operations.network_costs import NETWORKS, assumed_patches_per_second
from atlaspatch_core.validity.outcome import OutputKey
from website.hardware import HARDWARE

pytestmark = pytest.mark.quick

UNCOUNTED = {"gemma4-26b", "gemma4-e4b", "medsiglip", "omiclip"}
"""Networks that ask for values, which one without weights does not have."""


def test_networks_are_those_of_encoders_with_their_parameters():
    assert NETWORKS.keys() <= PATCH_ENCODERS.keys()
    assert MILLIONS.keys() - NETWORKS.keys() == UNCOUNTED, "make options writes them"
    assert {name: network.millions for name, network in NETWORKS.items()} == pytest.approx(
        {name: MILLIONS[name] for name in NETWORKS}, abs=0.051
    )


def test_a_large_network_is_assumed_to_be_slower_and_a_gpu_faster():
    small, large = (usual_rate(OutputKey("patch_features", name), "cpu") for name in ("resnet18", "uni_v2"))
    assert large.per_second < small.per_second / 10
    assert usual_rate(OutputKey("patch_features", "uni_v2"), "cuda:0").per_second > 100 * large.per_second


def test_an_unknown_network_counts_as_a_small_one():
    assert assumed_patches_per_second("mine", False) == assumed_patches_per_second("efficientnet_lite0", False)


def test_the_table_of_the_docs_has_the_rates_of_the_estimate():
    assert HARDWARE.updated() == HARDWARE.text(), "make options writes it"

"""Attention over a large slide is computed part by part, and gives what all patches at once give, to the last bit."""

import pytest
import torch

from atlaspatch_core.encoders.slide.networks.attention import PART, AttentionPooling, split_patches, weighted


@pytest.mark.parametrize(
    ("patches", "sizes"), [(1, [1]), (2 * PART - 1, [2 * PART - 1]), (2 * PART + 1, [PART, PART + 1])]
)
def test_no_part_is_smaller_than_the_others_unless_there_is_one(patches, sizes):
    assert [part.shape[1] for part in split_patches(torch.empty(1, patches, 0))] == sizes


@pytest.mark.parametrize("pools_features", [False, True])
def test_pooling_by_parts_gives_the_bits_of_pooling_at_once(pools_features):
    torch.manual_seed(0)
    network = AttentionPooling(64, 48, 32, pools_features=pools_features).eval()
    features = torch.randn(1, 2 * PART + 1, 64)
    with torch.inference_mode():
        embedded = network.patch_embed(features)
        attention = network.global_attn(embedded)
        assert torch.equal(network.attention(features), attention)
        assert torch.equal(network(features), weighted(attention, features if pools_features else embedded))

"""Fixtures that modules of validity share."""

import pytest
from network_files import network_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return network_weights(tmp_path_factory.mktemp("weights"))

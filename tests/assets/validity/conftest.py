"""Fixtures that modules of validity share."""

import pytest
from upgrading import random_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return random_weights(tmp_path_factory.mktemp("weights"))

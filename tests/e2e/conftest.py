"""Where the instances of whole days keep what they know."""

from collections.abc import Iterator

import pytest
from postgres import STORAGES, storage_of


@pytest.fixture(scope="module", params=STORAGES)
def storage(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The variables by which a day's Dagster reaches its storage."""
    with storage_of(request.param) as variables:
        yield variables

"""URLs, paths and placeholders name one thing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlaspatch_core.remote.places import SCHEMES, RemotePlace, is_usable_key, shown_path

pytestmark = pytest.mark.quick
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)


@given(scheme=st.sampled_from(SCHEMES), bucket=st.from_regex(r"[a-z0-9]{3,10}", fullmatch=True), key=st.lists(NAMES))
def test_a_url_survives_the_way_through_paths(scheme, bucket, key):
    place = RemotePlace(scheme, bucket, "/".join(key))
    assert RemotePlace.of_url(Path(place.url)) == place
    placeholder = place.placeholder(Path("/some/output"))
    assert RemotePlace.of_placeholder(placeholder) == place
    assert shown_path(placeholder) == shown_path(Path(place.url)) == place.url


@pytest.mark.parametrize("path", ["/slides/a.svs", "slides", "C:/slides", "ftp://host/a", "s3:", "a/s3:/b", "."])
def test_other_paths_are_no_urls(path):
    assert RemotePlace.of_url(Path(path)) is None
    assert RemotePlace.of_placeholder(Path(path)) is None
    assert shown_path(Path(path)) == str(Path(path))


@pytest.mark.parametrize("key", ["", "../a.svs", "a/../../b.svs", "/etc/passwd", "a//b", "a/./b", "a/", "x" * 256])
def test_keys_that_lead_elsewhere_are_not_usable(key):
    assert not is_usable_key(key)

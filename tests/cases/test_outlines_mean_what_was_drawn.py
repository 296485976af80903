"""Patches are kept where outlines go round them: supplied, edited in the output, or written and read again."""

import json
import os
import tempfile
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from commands import SIDE, encode, mean_colours, patches_of
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st
from outlines import HEIGHT, WIDTH, Places, drawings
from paint import Page, paint_scan, write_pages
from rounds import examples

pytestmark = pytest.mark.quick

LEAST, DOUBT = 0.5, 0.02
"""Least share of a patch that is tissue, and by how much px that outlines cut may move it."""
PIXELS = paint_scan(WIDTH, HEIGHT, 1)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pages(tmp_path_factory.mktemp("outlines") / "a.tif", [Page(PIXELS)])


def assert_keeps(output: Path, stem: str, tissue: Places) -> None:
    """Assert that just the squares with tissue are kept, and that their colours are those of their places."""
    found = patches_of(output, stem)
    shares = tissue.reshape(HEIGHT // SIDE, SIDE, WIDTH // SIDE, SIDE).mean(axis=(1, 3))
    kept = np.zeros(shares.shape, bool)
    kept[found.corners[:, 1] // SIDE, found.corners[:, 0] // SIDE] = True
    sure = np.abs(shares - LEAST) > DOUBT
    assert (kept[sure] == (shares > LEAST)[sure]).all()
    assert not len(found.corners) or np.abs(mean_colours(PIXELS, found.corners) - found.colours).max() < 1


@given(drawn=st.lists(drawings(), min_size=4, max_size=4), edited=drawings())
@examples(4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large])
def test_patches_are_kept_in_what_was_gone_round_less_what_is_ignored(slide: Path, drawn, edited):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "masks").mkdir()
        (folder / "slides").mkdir()
        slides = [folder / "slides" / f"s{number}.tif" for number in range(len(drawn))]
        for path, (features, _) in zip(slides, drawn, strict=True):
            os.link(slide, path)
            (folder / "masks" / f"{path.stem}.geojson").write_text(json.dumps(features))
        more = ("--min-tissue", LEAST)
        said = encode(slides, folder / "out", "--masks", folder / "masks", *more)
        assume("lies beside the slide" not in said.text)  # what is left of it: more beside the slide than on it
        assert said.code == 0, said.text
        for path, (_, tissue) in zip(slides, drawn, strict=True):
            assert_keeps(folder / "out", path.stem, tissue)
        copytree(folder / "out" / "contours_geojson", folder / "again")
        again = encode(slides, folder / "other", "--masks", folder / "again", *more)
        assert again.code == 0, again.text
        (folder / "out" / "contours_geojson" / "s0.geojson").write_text(json.dumps(edited[0]))
        encode(slides, folder / "out", "--masks", folder / "masks", *more)
        assert_keeps(folder / "out", "s0", edited[1])
        for path, (_, tissue) in list(zip(slides, drawn, strict=True))[1:]:
            assert_keeps(folder / "out", path.stem, tissue)
            assert_keeps(folder / "other", path.stem, tissue)

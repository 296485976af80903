"""A segmenter of a plugin file, as people write it: found, run, and part of the fingerprint of its own masks alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from extensions import encode_with, line_of, states, write_extension
from tracked_folders import paint

import atlaspatch_core as ap
from atlaspatch_core.encoders.recorded import refuse_plugin
from atlaspatch_core.errors import InvalidProject, UnknownName
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.segmenters import (
    SEGMENTERS,
    Segmentation,
    Segmenter,
    TissueSpec,
    find_segmenter,
    plugin_segmenters,
)
from atlaspatch_core.tissue.segmenters.hest import HEST_NETWORK
from atlaspatch_core.tissue.segmenters.networks import Network
from atlaspatch_core.tissue.segmenters.recorded import recorded_segmenter

WRONG = {
    "return 3": "returns a int; return TissuePixels(mask, downsample)",
    "return TissuePixels([[True]], 1)": "returns the mask list; return bool (height, width), True for tissue",
    "return TissuePixels(overview.pixels, 1)": "returns the mask uint8 (64, 64, 3); return bool (height, width), True",
    "return TissuePixels(colourful, 0)": "returns the downsample 0; return level-0 px per px of the mask",
    "return TissuePixels(colourful[:32], overview.downsample)": (
        "returns a mask of 512 × 1024 level-0 px, height by width, of a slide of 1024 × 1024; cover all of it"
    ),
}


COLOURFUL = ("--segmenter", "colourful")


def test_a_changed_plugin_file_makes_the_masks_of_its_segmenter_stale(tmp_path: Path):
    paint(tmp_path / "slides", "a")
    plugin = write_extension(tmp_path, "colourful.py")
    result = encode_with(plugin, tmp_path, *COLOURFUL)
    assert result.exit_code == 0, result.output
    spec = recorded_mask(tmp_path)
    assert spec["segmenter"] == "colourful"
    assert spec["plugin"] == plugin_segmenters([plugin])["colourful"].plugin
    assert "1 reused" in encode_with(plugin, tmp_path, *COLOURFUL).output
    assert states(tmp_path, "tissue_mask") == {"a": "fresh"}

    write_extension(tmp_path, "colourful.py", ("> 30", "> 40"))
    assert states(tmp_path, "tissue_mask") == {"a": "stale"}
    assert states(tmp_path, "slide") == {"a": "fresh"}
    assert "1 computed" in encode_with(plugin, tmp_path, *COLOURFUL).output
    assert states(tmp_path, "tissue_mask") == {"a": "fresh"}


def recorded_mask(folder: Path) -> Mapping[str, Any]:
    """Return all that decided the mask of the slide a."""
    mask = Store(folder / "out").read_record("a").tissue_mask
    assert mask
    return mask.identity.spec


def test_a_plugin_is_in_no_fingerprint_of_what_it_does_not_make(tmp_path: Path):
    paint(tmp_path / "slides", "a")
    plugin = write_extension(tmp_path, "colourful.py")
    assert encode_with(plugin, tmp_path).exit_code == 0
    assert "plugin" not in recorded_mask(tmp_path)
    write_extension(tmp_path, "colourful.py", ("> 30", "> 40"))
    assert states(tmp_path, "tissue_mask") == {"a": "fresh"}
    assert "1 reused" in encode_with(plugin, tmp_path).output


@pytest.mark.parametrize("wrong", sorted(WRONG))
def test_an_answer_that_is_no_mask_of_the_slide_is_said(tmp_path: Path, wrong: str):
    paint(tmp_path / "slides", "a")
    change = ("return TissuePixels(colourful, overview.downsample)", wrong)
    plugin = write_extension(tmp_path, "colourful.py", change)
    with ap.open_slide(tmp_path / "slides" / "a.svs") as slide, pytest.raises(InvalidProject) as error:
        ap.segment(slide, "colourful", plugins=[plugin])
    assert f"a: the segmenter colourful of a plugin {WRONG[wrong]}" in str(error.value)


def test_a_segmenter_that_fails_stops_its_slide_with_file_and_line(tmp_path: Path):
    paint(tmp_path / "slides", "a", "b")
    text = "    if slide.info.stem == 'a':\n        1 / 0\n    overview ="
    plugin = write_extension(tmp_path, "colourful.py", ("    overview =", text))
    result = encode_with(plugin, tmp_path, *COLOURFUL)
    assert result.exit_code == 1
    assert f"ZeroDivisionError('division by zero'), at {plugin}, line {line_of(plugin, '1 / 0')}" in result.output
    assert Store(tmp_path / "out").geojson("b").exists()


@pytest.mark.quick
@pytest.mark.parametrize("name", ["otsu", "OTSU"])
def test_a_name_of_ours_is_refused(tmp_path: Path, name: str):
    plugin = write_extension(tmp_path, "colourful.py", ('"colourful"', f'"{name}"'))
    with pytest.raises(InvalidProject, match=f"declares {name}, and there is a segmenter of that name; rename it"):
        plugin_segmenters([plugin])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SEGMENTERS = [3]", "declares 3 in SEGMENTERS, which is no Segmenter"),
        ("SEGMENTERS = 3", "fails when its SEGMENTERS are listed: TypeError"),
    ],
)
def test_what_is_no_segmenter_is_refused(tmp_path: Path, text: str, said: str):
    (tmp_path / "odd.py").write_text(text)
    with pytest.raises(InvalidProject, match=rf"the plugin .*odd\.py {said}"):
        plugin_segmenters([tmp_path / "odd.py"])


@pytest.mark.quick
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path):
    plugin = write_extension(tmp_path, "colourful.py", ('"colourful"', '"a/b"'))
    with pytest.raises(InvalidProject, match="declares 'a/b'; a name has letters, digits"):
        plugin_segmenters([plugin])


@pytest.mark.quick
def test_a_name_that_nobody_declares_is_answered_with_those_of_plugins(tmp_path: Path):
    plugins = plugin_segmenters([write_extension(tmp_path, "colourful.py")])
    with pytest.raises(UnknownName, match="there is no segmenter 'colorful'; choose one of colourful, grandqc, hest"):
        find_segmenter("colorful", plugins)
    assert "colourful" not in SEGMENTERS
    assert "plugin" not in Segmentation(TissueSpec()).spec()


@pytest.mark.quick
@pytest.mark.parametrize("knows_ink", [True, False])
@pytest.mark.parametrize("options", [{}, {"remove_penmarks": True}, {"remove_artifacts": True}])
@pytest.mark.parametrize("network", [None, replace(HEST_NETWORK, name="own_network")])
def test_what_a_mask_records_of_its_segmenter_decides_the_same_mask(
    network: Network | None, options: dict[str, bool], knows_ink: bool
):
    spec = TissueSpec("own", **options)
    own = Segmenter("own", 3, "MIT", "this test", refuse_plugin, network, knows_ink=knows_ink, plugin="0" * 64)
    recorded = Segmentation(spec, segmenter=own).spec()
    assert Segmentation(spec, segmenter=recorded_segmenter(recorded)).spec() == recorded

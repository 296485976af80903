"""An encoder that gets patches of a scale it was not made for is told of, refused, or taken, as the project says."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from rounds import examples

import atlaspatch_core as ap
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import make_project
from atlaspatch_core.encoders.declaration import SlideEncoder
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS
from atlaspatch_core.errors import GeometryMismatch
from atlaspatch_core.validity.recipe import Recipe, make_recipe

OPEN = sorted(name for name, e in PATCH_ENCODERS.items() if not isinstance(e.architecture, RemoteModel))
MADE_FOR = sorted(
    name
    for name, e in SLIDE_ENCODERS.items()
    if e.magnification and e.patch_size and not isinstance(e.architecture, RemoteModel)
)


def recipe(mpp: float, *names: str, policy: str = "warn", **geometry: object) -> Recipe:
    values = {"name": "a", "patch_size": 256, "target_mpp": mpp, "patch_encoders": names, **geometry}
    return make_recipe(make_project({"geometry": [values], "other_scales": policy}, origin="test"))


@examples(60)
@given(name=st.sampled_from(OPEN), mpp=st.floats(0.1, 8))
def test_every_encoder_beyond_its_scales_is_told_of_and_no_other(name: str, mpp: float):
    scales = PATCH_ENCODERS[name].scales
    beyond = scales is not None and not scales[0] * 0.9 <= mpp <= scales[1] * 1.1
    warnings = recipe(mpp, name).warnings
    assert [warning.text.partition(" was made for ")[0] for warning in warnings] == [name] * beyond
    assert recipe(mpp, name, policy="allow").warnings == ()
    if beyond:
        with pytest.raises(GeometryMismatch, match=f"{name} was made for patches of .* µm/px"):
            recipe(mpp, name, policy="refuse")
    else:
        assert recipe(mpp, name, policy="refuse").warnings == ()


@pytest.mark.parametrize("name", PATCH_ENCODERS)
def test_the_magnification_of_an_encoder_is_among_its_scales(name: str):
    encoder = PATCH_ENCODERS[name]
    if encoder.magnification:
        assert encoder.scales
        assert encoder.scales[0] <= 10 / encoder.magnification <= encoder.scales[1]


@pytest.mark.parametrize("name", MADE_FOR)
def test_no_slide_encoder_warns_at_the_scale_it_asks_for(name: str):
    """madeleine takes conch_v1 at 10x, which itself was made for 20x."""
    encoder: SlideEncoder = SLIDE_ENCODERS[name]
    asked = {"patch_size": encoder.patch_size, "slide_encoders": (name,)}
    assert recipe(10 / (encoder.magnification or 0), policy="refuse", **asked).warnings == ()


def test_scales_change_no_fingerprint():
    versions = [
        [stage.code_version for stage in recipe(0.25, "efficientnet_lite0", policy=policy).stages]
        for policy in ("warn", "allow", "refuse")
    ]
    assert versions[0] == versions[1] == versions[2]


PLUGIN = """
import torch
from atlaspatch_core.encoders.declaration import PatchEncoder

PATCH_ENCODERS = [
    PatchEncoder.from_module(
        "colour", torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()), dim=3, magnification=20
    )
]
"""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 0, "WARNING: colour was made for patches of 0.5 µm/px (20x), and these have 0.25 µm/px (40x); take"),
        (["--other-scales", "allow"], 0, ""),
        (["--other-scales", "refuse"], 2, 'or say other_scales = "warn" (--other-scales warn)'),
        (["--strict"], 2, "colour was made for patches of 0.5 µm/px (20x), and these have"),
    ],
)
def test_encode_slide_says_so_before_it_works(tmp_path: Path, words: list[str], code: int, said: str):
    (tmp_path / "colour.py").write_text(PLUGIN)
    slide, out = tmp_path / "a.svs", tmp_path / "out"
    paint_slide(slide, stain(white(1024, 1024), 200, 200, 600, 600), mpp=0.25)
    options = ["--patch-size", "128", "--target-mag", "40", "--feature-extractors", "colour"]
    given = ["encode-slide", str(slide), "-o", str(out), "--plugin", str(tmp_path / "colour.py"), *options, *words]
    done = CliRunner().invoke(cli, given)
    assert done.exit_code == code, done.output
    assert said in done.output
    assert ("made for" in done.output) == bool(said)
    assert out.exists() == (code == 0)


def test_one_slide_heeds_the_policy_that_its_warning_names(tmp_path: Path, recwarn):
    slide = ap.open_slide(paint_slide(tmp_path / "a.svs", stain(white(1024, 1024), 200, 200, 600, 600), mpp=0.25))
    grid = ap.lay_grid(slide, ap.segment(slide), patch_size=128, target_mag=40)
    colour = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    encoder = ap.PatchEncoder.from_module("colour", colour, dim=3, magnification=20)
    ap.encode(slide, grid, encoder, device="cpu", other_scales="allow")
    assert not [warning for warning in recwarn if "made for" in str(warning.message)]
    with pytest.warns(UserWarning, match='say other_scales = "allow"'):
        ap.encode(slide, grid, encoder, device="cpu")
    with pytest.raises(GeometryMismatch, match='say other_scales = "warn"'):
        ap.encode(slide, grid, encoder, device="cpu", other_scales="refuse")

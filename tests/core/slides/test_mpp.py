"""How wide a pixel is, and what is refused."""

from pathlib import Path

import pytest

from atlaspatch_core.discovery.slide_tables import read_mpp_csv
from atlaspatch_core.errors import ImplausibleScale, InvalidProject, UnknownScale
from atlaspatch_core.slides.mpp import Mpp, StatedMpp, bucket, find_scale

pytestmark = pytest.mark.quick

ORDER = {
    "openslide.mpp-x": "0.501",
    "openslide.mpp-y": "0.502",
    "openslide.mirax.MPP": "0.503",
    "aperio.MPP": "0.504",
    "hamamatsu.XResolution": "0.505",
    "openslide.comment": "scanned, MPP = 0.506",
    "tiff.ImageDescription": "0.507 Microns per pixel: 0.507|",
    "tiff.XResolution": "20000",
    "openslide.objective-power": "20",
}


def refused(properties: dict[str, str], stated: StatedMpp = StatedMpp()) -> str:  # noqa: B008
    with pytest.raises(ImplausibleScale) as caught:
        find_scale("s", properties, stated)
    return str(caught.value)


def test_mpp_is_taken_from_the_properties_in_order_and_never_rounded():
    properties = ORDER | {"tiff.ResolutionUnit": "centimeter"}
    found = []
    while properties:
        mpp = find_scale("s", properties).mpp
        found.append((mpp.source, mpp.value))
        del properties[mpp.source]
        properties.pop("tiff.ResolutionUnit", None) if mpp.source == "tiff.XResolution" else None
    values = [0.501, 0.502, 0.503, 0.504, 0.505, 0.506, 0.507, 0.5, 0.5]
    assert found == list(zip(ORDER, values, strict=True))
    assert find_scale("s", {"openslide.mpp-x": "0.25261234567"}).mpp.value == 0.25261234567


def test_properties_that_the_user_names_are_asked_before_the_usual_ones():
    """Properties that the user names are asked first in any case and the usual ones where they say nothing."""
    keys = StatedMpp(keys=("vendor.pixel", "other"))
    found = [find_scale("s", ORDER | more, keys).mpp for more in ({"Vendor.Pixel": "0,49"}, {"OTHER": "0.48"}, {})]
    assert found == [Mpp(0.49, "Vendor.Pixel"), Mpp(0.48, "OTHER"), Mpp(0.501, "openslide.mpp-x")]


def test_a_property_that_the_user_names_is_checked_like_any_other():
    assert refused({"dpi": "352.7777"}, StatedMpp(keys=("dpi",))).startswith("s: 352.778 µm/px (dpi) is outside")


def test_an_mpp_that_the_user_states_wins_over_a_property_that_the_user_names():
    stated = StatedMpp(Mpp(0.25, "mpp csv"), ("vendor.pixel",))
    assert find_scale("s", {"vendor.pixel": "0.5"}, stated).mpp == Mpp(0.25, "mpp csv")


def test_resolution_is_understood_per_centimetre_and_per_inch_only():
    assert find_scale("s", {"tiff.XResolution": "50800", "tiff.ResolutionUnit": "INCH"}).mpp.value == 0.5
    with pytest.raises(UnknownScale):
        find_scale("s", {"tiff.XResolution": "1", "tiff.ResolutionUnit": "none"})


@pytest.mark.parametrize("nothing", ["", "n/a", "0", "-0.5", "nan", "inf"])
def test_a_value_that_is_no_positive_number_counts_as_absent(nothing):
    mpp = find_scale("s", {"openslide.mpp-x": nothing, "aperio.MPP": "0,25"}).mpp
    assert mpp == Mpp(0.25, "aperio.MPP")


def test_x_and_y_within_one_percent_are_square_pixels():
    scale = find_scale("s", {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.504"})
    assert (scale.mpp, scale.note) == (Mpp(0.5, "openslide.mpp-x"), "")


def test_x_and_y_that_differ_more_are_averaged_and_noted():
    scale = find_scale("s", {"openslide.mpp-x": "0.50", "openslide.mpp-y": "0.54"})
    assert scale.mpp == Mpp(0.52, "mean of openslide.mpp-x and openslide.mpp-y")
    assert scale.note == "the pixels are 0.5 × 0.54 µm (openslide.mpp-x and openslide.mpp-y)"


def test_x_and_y_that_differ_by_a_quarter_are_refused_unless_the_mpp_is_stated():
    """X and y that differ by a quarter are refused unless the user states the mpp."""
    properties = {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.7"}
    assert refused(properties).startswith("s: the pixels are 0.5 × 0.7 µm")
    assert find_scale("s", properties, StatedMpp(Mpp(0.5, "mpp csv"))).mpp.value == 0.5


@pytest.mark.parametrize(
    ("mpp", "power", "reason"),
    [
        ("352.7777", None, "72 dots per inch"),
        ("84.6667", "40", "300 dots per inch"),
        ("0.00499", None, "100 times too small? (0.499 would fit)"),
        ("0.0025", "40", "100 times too small? (0.25 would fit)"),
        ("50", "20", "100 times too large? (0.5 would fit)"),
        ("0.0005", None, "1000 times too small? (0.5 would fit)"),
        ("21", None, "outside 0.05 to 20 µm/px: 100 times too large? (0.21 would fit)"),
        ("0.0499", None, "outside 0.05 to 20 µm/px"),
    ],
)
def test_implausible_mpp_is_refused_with_value_source_reason_and_cure(mpp, power, reason):
    message = refused({"openslide.mpp-x": mpp} | ({"openslide.objective-power": power} if power else {}))
    assert message.startswith(f"s: {float(mpp):.6g} µm/px (openslide.mpp-x) is outside 0.05 to 20 µm/px")
    assert reason in message
    assert message.endswith("state the right one in a CSV with the columns wsi,mpp (--mpp-csv)")


@pytest.mark.parametrize("mpp", ["0.05", "20"])
def test_the_bounds_themselves_are_plausible(mpp):
    assert find_scale("s", {"openslide.mpp-x": mpp}).mpp.value == float(mpp)


def test_mpp_that_contradicts_the_magnification_is_refused():
    message = refused({"openslide.mpp-x": "5", "openslide.objective-power": "20"})
    assert "contradicts 20x (openslide.objective-power), which is about 0.5 µm/px" in message
    assert "10 times too large? (0.5 would fit)" in message


@pytest.mark.parametrize("mpp", ["0.25", "1.0"])
def test_doublers_and_binned_scans_are_noted_not_refused(mpp):
    scale = find_scale("s", {"openslide.mpp-x": mpp, "openslide.objective-power": "20"})
    assert (scale.mpp.value, scale.magnification) == (float(mpp), 20)
    assert "is unusual for 20x" in scale.note


@pytest.mark.parametrize("mpp", ["0.45", "0.5", "0.6"])
def test_usual_disagreement_is_not_noted(mpp):
    assert find_scale("s", {"openslide.mpp-x": mpp, "openslide.objective-power": "20"}).note == ""


def test_user_mpp_overrides_an_impossible_one_but_is_checked_itself():
    properties = {"openslide.mpp-x": "352.8", "openslide.objective-power": "20"}
    scale = find_scale("s", properties, StatedMpp(Mpp(0.25, "mpp csv")))
    assert (scale.mpp, scale.magnification, scale.magnification_source) == (Mpp(0.25, "mpp csv"), 40, "mpp bucket")
    assert refused(properties, StatedMpp(Mpp(25.0, "mpp csv"))).startswith(
        "s: 25 µm/px (mpp csv) is outside 0.05 to 20 µm/px"
    )


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_user_mpp_that_is_no_width_is_refused(value):
    assert "(option) is outside 0.05 to 20 µm/px; state" in refused({}, StatedMpp(Mpp(value, "option")))


def test_magnification_alone_gives_the_mpp_as_a_last_resort():
    scale = find_scale("s", {"openslide.objective-power": "40"})
    assert (scale.mpp, scale.magnification) == (Mpp(0.25, "openslide.objective-power"), 40)


def test_no_scale_anywhere_is_refused_with_the_cure():
    with pytest.raises(UnknownScale, match=r"^s: neither .*; state it in a CSV with the columns wsi,mpp"):
        find_scale("s", {})


def test_mpp_buckets_are_half_open():
    mpps = [0.05, 0.159, 0.16, 0.2, 0.299, 0.3, 0.499, 0.6, 1.2, 2.4, 4.8, 9.6, 20]
    assert [bucket(mpp) for mpp in mpps] == [80, 80, 60, 40, 40, 20, 20, 10, 5, 2.5, 1.25, 0.625, 0.625]


def mpps(path: Path) -> dict[str, float]:
    return {name: stated.mpp for name, stated in read_mpp_csv(path).items()}


def test_mpp_csv_is_keyed_by_name_and_blank_lines_say_nothing(tmp_path):
    rows = ['"C:\\slides\\a, b.svs",0.25,x', "", "folder/c.ome.tiff,0.5", 'd.svs," 0,75 "', "d.png,1", ""]
    (tmp_path / "t.csv").write_bytes("\r\n".join(["\ufeffwsi, mpp ,note", *rows]).encode())
    assert mpps(tmp_path / "t.csv") == {"a, b.svs": 0.25, "c.ome.tiff": 0.5, "d.png": 1.0, "d.svs": 0.75}


def test_rows_of_one_slide_that_disagree_are_warned_of(tmp_path):
    (tmp_path / "t.csv").write_text("wsi,mpp\na.svs,0.5\nb.svs,0.5\nb.svs,0.50\na.svs,0.25\n")
    stated = read_mpp_csv(tmp_path / "t.csv")
    assert (stated["a.svs"].mpp, stated["b.svs"].mpp, stated["b.svs"].notes) == (0.25, 0.5, ())
    (note,) = stated["a.svs"].notes
    assert note.replace(f"{tmp_path}/", "") == (
        "two µm/px are stated, 0.5 in t.csv, line 2 and 0.25 in t.csv, line 5, which counts"
    )


def test_a_row_without_an_mpp_says_nothing(tmp_path):
    (tmp_path / "t.csv").write_text("wsi,mpp\na.svs,\nb.svs,0.5\nc.svs\n")
    assert mpps(tmp_path / "t.csv") == {"b.svs": 0.5}


def test_mpp_csv_with_semicolons_and_decimal_commas(tmp_path):
    (tmp_path / "t.csv").write_text("wsi;mpp\na.svs;0,25\n")
    assert mpps(tmp_path / "t.csv") == {"a.svs": 0.25}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("wsi,mpp\na.svs,0.25\nb.svs,20x\n", "line 3: mpp is '20x'"),
        ("wsi,mpp\na.svs,0\n", "line 2: mpp is '0'"),
        ("wsi,mpp\n,0.5\n", "line 2: wsi is ''"),
        ("slide,mpp\na.svs,0.5\n", "the column wsi is missing, there are slide, mpp; name it in line 1"),
        ("", "the column wsi is missing, there are none"),
        ("wsi,mpp\n", "no row under wsi and mpp"),
        (b"wsi,mpp\n\xff\xfe,1", "cannot be read as UTF-8 text"),
    ],
)
def test_bad_mpp_csv_is_refused_naming_file_line_and_value(tmp_path, text, reason):
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidProject) as caught:
        read_mpp_csv(path)
    assert str(caught.value).startswith(str(path))
    assert reason in str(caught.value)


def test_missing_mpp_csv_is_refused(tmp_path):
    with pytest.raises(InvalidProject, match="No such file"):
        read_mpp_csv(tmp_path / "none.csv")


APERIO = "Aperio Image Library v12\r\n4096x3072 [0,0 4096x3072] (256x256) JPEG/RGB Q=70|AppMag = 40|MPP = 0.25"
STATED = {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.25", "aperio.MPP": "0.25", "openslide.comment": APERIO}
CM = {"tiff.ResolutionUnit": "centimeter"}


@pytest.mark.parametrize(
    ("size", "more", "mpp", "note"),
    [
        ((4096, 3072), {}, 0.25, ""),
        ((4096, 3072), {"tiff.XResolution": "20000"}, 0.25, "is of this very page, unlike 0.5 µm/px"),
        ((4096, 3072), {"tiff.XResolution": "40000"}, 0.25, ""),
        ((4096, 3072), {"tiff.XResolution": "28.3464"}, 0.25, ""),
        ((2048, 1536), {"tiff.XResolution": "20000"}, 0.5, "is of 4096 × 3072 px, and level 0 has 2048 × 1536 px"),
        ((3000, 1000), {}, 0.25, "the text describes 4096 × 3072 px, and level 0 has 3000 × 1000 px"),
    ],
)
def test_of_two_statements_the_one_that_the_page_supports_counts(size, more, mpp, note):
    scale = find_scale("s", STATED | CM | more, size=size)
    assert scale.mpp.value == mpp
    assert note in scale.note if note else not scale.note


@pytest.mark.parametrize("tags", [{}, {"tiff.XResolution": "40000"}, {"tiff.XResolution": "33333"}])
def test_a_page_that_may_be_cut_or_made_smaller_is_refused_with_both(tags):
    with pytest.raises(ImplausibleScale, match=r"0\.25 µm/px .* if these were cut out, and 0\.5 µm/px .*--mpp-csv"):
        find_scale("s", STATED | CM | tags, size=(2048, 1536))
    assert find_scale("s", STATED | CM | tags, StatedMpp(Mpp(0.5, "mpp csv")), (2048, 1536)).mpp.value == 0.5


def test_a_text_of_no_known_form_cannot_be_decided_against_tags():
    said = {"tiff.ImageDescription": "MPP = 0.25", "tiff.XResolution": "20000"} | CM
    with pytest.raises(ImplausibleScale, match=r"0\.25 µm/px .* contradicts 0\.5 µm/px"):
        find_scale("s", said, size=(10, 10))


def test_the_nominal_magnification_follows_a_page_that_was_made_smaller():
    """Aperio says so itself, by an arrow."""
    comment = APERIO.replace("(256x256)", "(256x256) -> 2048x1536")
    scale = find_scale("s", STATED | {"openslide.comment": comment, "aperio.AppMag": "40"}, size=(2048, 1536))
    assert (scale.mpp.value, scale.magnification) == (0.5, 20)

"""A day of work under pseudonyms: neither names of files nor what stands in them get out, whatever fails."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from dicom_series import write_series
from hypothesis import Phase, given
from hypothesis import strategies as st
from names_in_dagster import tick
from painting import aperio_description, paint_slide, stain, white
from pseudonyms import KEY, hiding, leaks, write_table
from rounds import examples
from small_projects import run
from starlette.testclient import TestClient
from tracked_folders import PLUGIN

from atlaspatch_assets.cli.hooks import make_hooks
from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.defs.slides import sensors
from atlaspatch_assets.pages import build_app
from atlaspatch_assets.pages.view import ProjectView
from atlaspatch_core.config.project import load_project
from atlaspatch_core.validity.recipe import make_recipe

GIVEN = ("Müller", "ONeil", "Šťastná", "SMITHSON", "山田太郎の")
PATIENT = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(GIVEN),
    st.sampled_from((" ", ".", "_", "-")),
    st.text("abcdefghij", min_size=6, max_size=9),
    st.sampled_from(("", ".2024", " (1)", "_1957-03-02")),
)
PLANTED = "Zwyczajna^Planted"
"""What stands in metadata of every slide, be it of the patient, the laboratory or the stain."""
FILE = """
output = "output"
plugins = ["plugin.py"]
[slides]
folders = ["slides"]
recursive = true
{names}
mpp_csv = "private/mpp.csv"
masks = "private/masks"
[[geometry]]
patch_size = 256
target_mag = 20
precision = "float32"
patch_encoders = ["tiny"]
[patients]
manifest = "private/cases.csv"
encoders = ["mean-tiny"]
[tissue]
segmenter = "otsu"
[runtime]
device = "cpu"
threads = 1
read_workers = 1
slides_per_run = 3
"""
CASES = "case_id,slide_path\nC1,../slides/{good}.svs\nC2,../slides/{cut}/{cut}.svs\nC3,../slides/{unlisted}.svs\n"


def paint_hospital(folder: Path, names: list[str]) -> dict[str, Path]:
    """Paint slides, good and broken, of several formats, with planted metadata; return name to file."""
    slides = folder / "slides"
    (slides / "ward").mkdir(parents=True)
    tissue = stain(white(1024, 1024), 256, 256, 512, 512)
    good, cut, broken, unlisted, dyed, parts, scan, plain, store = names
    files = {good: slides / f"{good}.svs", cut: slides / cut / f"{cut}.svs", unlisted: slides / f"{unlisted}.svs"}
    for path in files.values():
        path.parent.mkdir(exist_ok=True)
        paint_slide(path, tissue)
        text = f"{aperio_description(tissue, 0.5, 20)}|Filename = {path.stem}|Title = {PLANTED}|Stain = {PLANTED}"
        tifffile.tiffcomment(path, text.encode())
    whole = files[cut].read_bytes()
    files[cut].write_bytes(whole[: len(whole) // 2])
    files[broken] = slides / f"{broken}.svs"
    files[broken].write_bytes(f"no slide of {broken}, {PLANTED}".encode())
    files[dyed] = slides / "ward" / f"{dyed}.ome.tif"
    channels = {"Name": [PLANTED, f"{PLANTED} 2", "DAPI"]}
    planes = np.zeros((3, 512, 512), np.uint8)
    tifffile.imwrite(files[dyed], planes, metadata={"axes": "CYX", "Channel": channels, "Name": dyed}, ome=True)
    files[parts] = slides / "ward" / f"{parts}.ome.tif"
    write_part(files[parts], f"{parts}_second.ome.tif")
    files[scan] = write_series(
        slides / scan,
        scan,
        PatientName=PLANTED,
        PatientID=PLANTED,
        ContainerIdentifier=scan,
        InstitutionName=PLANTED,
        SpecificCharacterSet="ISO_IR 192",
    )
    files[plain] = slides / f"{plain}.jp2"
    files[plain].write_bytes(b"no JPEG 2000 of " + plain.encode())
    files[store] = slides / f"{store}.zarr"
    files[store].mkdir()
    (files[store] / ".zgroup").write_text('{"zarr_format": 2}')
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scales = [{"axes": axes, "datasets": [{"path": PLANTED}], "name": store}]
    (files[store] / ".zattrs").write_text(json.dumps({"multiscales": scales}))
    return files


def write_part(path: Path, other: str) -> None:
    """Write an OME-TIFF that says that its pixels lie in another file."""
    pixels = '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="512" SizeY="512" SizeC="3" SizeZ="1" '
    within = '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0"><UUID FileName="{}">urn:uuid:{}</UUID>'
    for at, uuid in ((path, "a"), (path.with_name(other), "b")):
        names = within.format(other, "b" * 8) + "</TiffData>"
        xml = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:'
            f'{uuid * 8}"><Image ID="Image:0" Name="{PLANTED}">{pixels}SizeT="1">{names}</Pixels></Image></OME>'
        )
        tifffile.imwrite(at, white(512, 512), description=xml.encode(), metadata=None, tile=(256, 256))


LAYOUTS = ("geojson", "trident", "clam", "pt", "parquet")
COMMANDS = (
    ["encode-slide", "slides", "--recursive", "--output", "out", "--target-mag", "20", "--patch-encoders", "tiny",
     "--segmenter", "otsu", "--feature-plugin", "plugin.py", "--patch-size", "256", "--device", "cpu", "-v"],
    ["run", "--task", "coords", "--wsi-dir", "slides", "--job-dir", "job", "--segmenter", "otsu"],
    ["status", "out"],
    ["encode-patient", "private/cases.csv", "--output", "cases", "--target-mag", "20", "--patient-encoders",
     "mean-tiny", "--segmenter", "otsu", "--feature-plugin", "plugin.py", "--patch-size", "256", "--device", "cpu"],
    ["status", "cases"],
    ["materialize"],
    ["materialize", "--force", "--strict"],
    ["status", "--html", "output/status.html"],
    ["status", "--json"],
    ["backfill", "--failed"],
    ["report"],
    *(["export", "--layout", layout, "--to", f"exported/{layout}"] for layout in LAYOUTS),
    *(["export", "--output", "out", "--layout", layout, "--to", f"exported/out_{layout}"] for layout in LAYOUTS),
    ["audit", "output"],
    ["estimate"],
    ["doctor"],
)  # fmt: skip


def work(folder: Path, options: list[str]) -> Iterator[str]:
    """Do a day of work, and yield all that is told."""
    for words in COMMANDS:
        more = options if words[0] in ("encode-slide", "encode-patient", "run") else []
        result = CliRunner().invoke(cli, [*words, *more], obj=make_hooks())
        assert result.exit_code in (0, 1, 2), (words, result.output, result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exc_info)
        yield f"{words}: {result.output}"
    of = load_project(folder / "atlaspatch.toml")
    with dg.DagsterInstance.get() as instance:
        for sensor in ("new_slides", "new_cases", "edited_masks"):
            found = tick(of, instance, sensor)
            yield f"SKIPPED {found.skip_message} {found.cursor}"
            for request in found.run_requests:
                yield f"{request.run_key} {request.tags} {request.run_config}"
                if sensor == "new_slides":
                    run(of, instance, request.run_config["ops"]["slides_to_embeddings"]["config"]["slides"])
        client = TestClient(build_app(ProjectView(make_recipe(of), instance), hosts=["*"]))
        for page in ("/", "/status", "/needs.json", "/metrics", "/slides/P1", "/slides/P2", "/cohort_report.html"):
            yield f"{page} {client.get(page).text}"


@pytest.mark.e2e
@examples(1, phases=(Phase.explicit, Phase.generate))
@given(names=st.lists(PATIENT, min_size=9, max_size=9, unique_by=str.casefold), key=st.booleans())
def test_a_day_of_work_tells_no_name(tmp_path_factory, names, key):
    folder = tmp_path_factory.mktemp("hospital")
    private = folder / "private"
    (private / "masks").mkdir(parents=True)
    files = paint_hospital(folder, names)
    good, cut, broken, unlisted, *others = names
    rows = {f"{good}.svs": "P1", cut: "P2", broken: "P3"} | {name: f"P{4 + n}" for n, name in enumerate(others)}
    table = write_table(private / "names.csv", rows)
    write_table(private / "mpp.csv", {f"{good}.svs": "0.5", f"{unlisted}x.svs": "0.5"}, ("wsi", "mpp"))
    (private / "masks" / f"{good}_mask.geojson").write_text("no outlines")
    (private / "cases.csv").write_text(CASES.format(good=good, cut=cut, unlisted=unlisted), encoding="utf-8")
    naming = f'pseudonym_key_variable = "{KEY}"' if key else 'pseudonyms = "private/names.csv"'
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "atlaspatch.toml").write_text(FILE.format(names=naming))
    with hiding(folder / "cache") as patch:
        patch.chdir(folder)
        patch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        patch.setattr(sensors, "SECONDS_AT_REST", 0.0)
        told = "\n".join(work(folder, ["--pseudonym-key-variable", KEY] if key else ["--pseudonyms", str(table)]))
    if not key:
        assert all(f"P{number}" in told for number in range(1, 9))
    (page,) = re.findall(r"^/ (.*?)^/status ", told, re.DOTALL | re.MULTILINE)
    (skipped,) = re.findall(r"^SKIPPED (.*)$", told, re.MULTILINE)[:1]
    assert key or all("slides have no row in the table of pseudonyms" in text for text in (page, skipped))
    places = [folder / name for name in ("output", "out", "cases", "job", "exported", "dagster")]
    assert all(place.is_dir() for place in places)
    assert (
        leaks(places, told, [path.name.partition(".ome")[0].removesuffix(path.suffix) for path in files.values()]) == []
    )
    stems = [path.name.removesuffix(".ome.tif").removesuffix(path.suffix) for path in files.values()]
    patients = [name for name in GIVEN if any(given.startswith(name) for given in names)]
    assert leaks(places, told, [*stems, *patients, PLANTED]) == []

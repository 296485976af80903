"""The image without an engine: every step of the Dockerfile in a bare Debian, then what the image runs, as its user."""

import json
import shlex
import shutil
from collections.abc import Iterator

import pytest
from container_steps import BareMachine, build_image, make_bare_machine, package_index, read_stages
from paths import ROOT

pytestmark = pytest.mark.e2e
PROJECT = """\
output = "/output"
[slides]
folders = ["{slide}"]
[tissue]
segmenter = "otsu"
[[geometry]]
patch_size = 256
target_mag = 20
[runtime]
device = "cpu"
"""
FIND_SLIDE = (
    "import atlaspatch_core, pathlib; print(*(pathlib.Path(atlaspatch_core.__path__[0]) / 'data').glob('*.svs'))"
)
SERVE = """
timeout 5 {check} && echo "it is well before anything serves" && exit 1
{command} > /tmp/up.log 2>&1 & up=$!
well() {{ {check} && dagster-daemon liveness-check; }}
for second in $(seq 150); do well 2> /dev/null && break; sleep 2; done
well; ended=$?; kill $up; wait $up; tail -50 /tmp/up.log; exit $ended
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareMachine]:
    """The last stage, all steps of which went well."""
    folder = tmp_path_factory.mktemp("image")
    try:
        make_bare_machine(folder / "base")
        yield build_image(ROOT, folder / "base", folder, {"TORCH_INDEX": package_index()})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def said(image: BareMachine, command: str) -> str:
    done = image.run(command)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_the_image_has_the_wheel_its_byte_code_and_nothing_of_the_checkout(image):
    place = said(image, 'python -c "import atlaspatch_core; print(atlaspatch_core.__file__)"').strip()
    assert place.startswith("/usr/local/lib/python3.11/site-packages/")
    assert list(image.inside("/usr/local/lib/python3.11/site-packages/dagster/__pycache__").glob("*.pyc"))
    assert not image.inside("/opt/atlaspatch/pyproject.toml").exists()
    assert said(image, "id -u").strip() == "1000"
    said(image, 'python -c "import cv2, imagecodecs, openslide, timm, torch, torchvision"')
    assert said(image, f"{image.command[0]} --version").startswith("atlaspatch")
    assert "encode-slide" in said(image, f"{image.command[0]} --help")
    assert "--host" in said(image, f"{image.command[0]} {image.command[1]} --help")


def test_the_image_takes_the_bundled_slide_to_patches(image):
    slide = said(image, f'python -c "{FIND_SLIDE}"').strip()
    image.inside("/project/atlaspatch.toml").write_text(PROJECT.format(slide=slide))

    said(image, "atlaspatch materialize")

    status = json.loads(said(image, "atlaspatch status --json"))
    assert image.inside("/output/patches/CMU-1-Small-Region.h5").is_file()
    assert "CMU-1-Small-Region" in json.dumps(status)
    assert "fresh" in json.dumps(status)


def test_the_default_command_serves_and_its_health_is_seen(image):
    [health] = read_stages(ROOT / "deploy" / "Dockerfile")[-1].values("HEALTHCHECK")
    check = shlex.join(json.loads(health.partition("CMD ")[2]))
    done = image.run(SERVE.format(command=shlex.join(image.command), check=check), own_network=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_what_the_helm_chart_starts_is_in_the_image(image):
    assert "--port" in said(image, "dagster api grpc --help")
    said(image, 'python -c "import dagster_k8s.launcher, dagster_postgres"')

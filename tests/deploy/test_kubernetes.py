"""Runs as pods: our values of Dagster's chart, and the job that Dagster's own launcher makes of them and of a run."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import yaml
from cluster import ClusterAPI, serve_cluster
from container_steps import read_stages
from dagster_inside import code_origin, launch, monitor_run, should_retry
from helm_values import NAMESPACE, instance_settings, launcher_settings, read_values
from paths import ROOT
from small_projects import paint, project

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.pools import CPU_TAGS_VARIABLE, cpu_tags
from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Runtime
from atlaspatch_core.errors import InvalidProject

DEPLOY = ROOT / "deploy"
IMAGE = "registry.example.org/atlaspatch:0.1.0"
NO_GPU = {"dagster-k8s/config": {"container_config": {"resources": {"limits": {"nvidia.com/gpu": 0}}}}}
OVER_ASSETS = "__ASSET_JOB"
"""Of this job are the runs that the web UI launches over assets."""


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return read_values()


@pytest.fixture
def cluster() -> Iterator[ClusterAPI]:
    pytest.importorskip("dagster_k8s", reason="pip install 'atlaspatch[kubernetes]' for this test")
    with serve_cluster() as cluster:
        yield cluster


@pytest.fixture
def instance(cluster, values, tmp_path, monkeypatch) -> Iterator[dg.DagsterInstance]:
    """An instance with the settings of the chart; its launcher reaches a cluster of the test."""
    for variable in values["dagster-user-deployments"]["deployments"][0]["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    reach = {"load_incluster_config": False, "kubeconfig_file": str(cluster.write_configuration(tmp_path / "config"))}
    launcher = {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher_settings(values) | reach}
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(instance_settings(values) | {"run_launcher": launcher}))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@pytest.fixture
def of(tmp_path) -> Project:
    paint(tmp_path / "slides", "first")
    return project(tmp_path).model_copy(update={"runtime": Runtime(device="cuda")})


def launched(of: Project, instance: dg.DagsterInstance, cluster: ClusterAPI, name: str, *assets: str) -> dict[str, Any]:
    """Launch a run of a job of the project, over these assets alone; return the manifest that the cluster got."""
    job = build_definitions(of).resolve_job_def(name)
    selection = frozenset(map(dg.AssetKey.from_user_string, assets)) or None
    job = job.get_subset(asset_selection=selection) if selection else job
    origin = code_origin(name, IMAGE)
    run = instance.create_run_for_job(job, tags=job.run_tags, job_code_origin=origin, asset_selection=selection)
    launch(instance, run)
    [(path, manifest)] = [item for item in cluster.jobs.items() if item[0].endswith(run.run_id)]
    assert path.startswith(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/")
    return manifest


def check_manifest(manifest: dict[str, Any]) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate for this")
    kubernetes_validate.validate(manifest, "1.33", strict=True)


@pytest.mark.quick
def test_volumes_are_as_the_schemas_of_kubernetes_have_them(values):
    manifests = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "storage.yaml").read_text()))
    for manifest in manifests:
        check_manifest(manifest)
    claims = {one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == "PersistentVolumeClaim"}
    [deployment] = values["dagster-user-deployments"]["deployments"]
    named = {volume["persistentVolumeClaim"]["claimName"] for volume in deployment["volumes"][:3]}

    assert claims.keys() == named == {"slides", "output", "weights"}
    assert claims["slides"]["accessModes"] == ["ReadOnlyMany"]
    assert claims["output"]["accessModes"] == claims["weights"]["accessModes"] == ["ReadWriteMany"]


def test_a_schema_refuses_what_kubernetes_would(values):
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate for this")
    manifest = next(yaml.safe_load_all((DEPLOY / "kubernetes" / "storage.yaml").read_text()))
    manifest["spec"]["accessMode"] = manifest["spec"].pop("accessModes")
    with pytest.raises(kubernetes_validate.ValidationError):
        check_manifest(manifest)


def test_a_run_on_a_gpu_is_a_pod_of_the_image_with_a_gpu_volumes_and_a_user(of, instance, cluster, values):
    manifest = launched(of, instance, cluster, "process_slides")
    sent = {name: part for name, part in manifest.items() if name != "status"}
    check_manifest(sent)
    pod = manifest["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [deployment] = values["dagster-user-deployments"]["deployments"]

    assert container["image"] == IMAGE == "{repository}:{tag}".format(**deployment["image"])
    assert container["args"][:3] == ["dagster", "api", "execute_run"]
    assert container["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"memory": "32Gi", "nvidia.com/gpu": "1"},
    }
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts.items() >= {"/slides": True, "/output": False, "/weights": False, "/project": True}.items()
    assert {volume["name"] for volume in pod["volumes"]} >= {mount["name"] for mount in container["volumeMounts"]}
    assert pod["tolerations"] == [
        {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ]
    assert pod["nodeSelector"] == {"cloud.google.com/gke-spot": "true"}
    assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}
    assert (manifest["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")


def test_a_run_knows_project_home_weights_and_secrets(of, instance, cluster):
    [container] = launched(of, instance, cluster, "process_slides")["spec"]["template"]["spec"]["containers"]
    stated = {entry["name"]: entry.get("value") for entry in container["env"]}
    password = next(entry["valueFrom"] for entry in container["env"] if entry["name"] == "DAGSTER_PG_PASSWORD")
    secrets = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]

    assert stated["DAGSTER_HOME"] == "/dagster"
    assert stated["ATLASPATCH_PROJECT"] == "/project/atlaspatch.toml"
    assert (stated["HF_HUB_CACHE"], stated["TORCH_HOME"]) == ("/weights/hub", "/weights/torch")
    assert password["secretKeyRef"] == {"name": "atlaspatch-postgres", "key": "postgresql-password"}
    assert secrets == ["atlaspatch-secrets"]


@pytest.mark.parametrize(
    ("job", "assets", "gpus"),
    [
        ("process_slides", (), "1"),
        ("materialize_stale", (), "1"),
        (OVER_ASSETS, ("slide", "patch_coords"), "1"),
        ("audit", (), "0"),
        ("materialize_new", (), "0"),
        ("make_cohort_report", (), "0"),
    ],
)
def test_a_run_asks_for_a_gpu_where_it_computes_whoever_launched_it(of, instance, cluster, job, assets, gpus):
    manifest = launched(of, instance, cluster, job, *assets)
    check_manifest({name: part for name, part in manifest.items() if name != "status"})
    [container] = manifest["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "32Gi", "nvidia.com/gpu": gpus}


def test_a_run_whose_node_was_taken_away_ends_and_is_started_again(of, instance, cluster):
    """That it then makes what is missing, and no more: tests/e2e/test_kills.py and tests/soak/test_kills.py."""
    manifest = launched(of, instance, cluster, "process_slides")
    [run] = instance.get_runs()
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name), run.run_id)
    monitor_run(instance, run.run_id)
    assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.STARTED

    cluster.end_job(manifest["metadata"]["name"])
    monitor_run(instance, run.run_id)

    run = instance.get_run_by_id(run.run_id)
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert should_retry(run, instance)


def test_the_queue_is_that_of_other_deployments(values):
    of_postgres = yaml.safe_load((DEPLOY / "dagster.postgres.yaml").read_text())
    ours = instance_settings(values)

    assert ours["concurrency"] == of_postgres["concurrency"]
    assert ours["run_coordinator"] == of_postgres["run_coordinator"]
    assert ours["retention"]["sensor"] == of_postgres["retention"]["sensor"]
    assert ours["run_retries"] == of_postgres["run_retries"] | {"max_retries": 8}
    assert ours["telemetry"] == of_postgres["telemetry"]


def test_the_home_of_the_chart_is_that_of_the_image(values):
    [home] = [value for value in read_stages(DEPLOY / "Dockerfile")[-1].values("ENV") if "DAGSTER_HOME" in value]
    assert f"DAGSTER_HOME={values['global']['dagsterHome']}" in home.split()


@pytest.mark.parametrize(
    ("runtime", "computing"),
    [
        (Runtime(device="cuda:1"), {"process_slides", "materialize_stale"}),
        (Runtime(device="cpu", feature_device="cuda"), {"process_slides", "materialize_stale"}),
        (Runtime(device="cpu"), set()),
    ],
)
def test_jobs_that_compute_on_no_gpu_have_the_tags_that_the_deployment_states(of, runtime, computing, monkeypatch):
    project = of.model_copy(update={"runtime": runtime})

    def jobs_without_tags() -> set[str]:
        jobs = build_definitions(project).get_repository_def().get_all_jobs()
        return {job.name for job in jobs if json.dumps(NO_GPU["dagster-k8s/config"]) not in job.run_tags.values()}

    monkeypatch.setenv(CPU_TAGS_VARIABLE, json.dumps(NO_GPU))
    assert jobs_without_tags() == {OVER_ASSETS} | computing


def test_a_project_without_a_deployment_has_no_such_tags(monkeypatch):
    monkeypatch.setenv(CPU_TAGS_VARIABLE, json.dumps(NO_GPU | {"queue": "cpu"}))
    tags = cpu_tags()
    assert tags.pop("queue") == "cpu"
    assert {name: json.loads(value) for name, value in tags.items()} == NO_GPU
    monkeypatch.delenv(CPU_TAGS_VARIABLE)
    assert cpu_tags() == {}


@pytest.mark.parametrize("stated", ["gpu", "[1]", "{"])
def test_tags_that_are_no_object_are_refused_by_name(stated, monkeypatch):
    monkeypatch.setenv(CPU_TAGS_VARIABLE, stated)
    with pytest.raises(InvalidProject, match=CPU_TAGS_VARIABLE):
        cpu_tags()

"""What Dagster's Helm chart makes of our values, as far as runs go: the instance's settings, by the chart's templates.

Helm and the chart are not at hand where the tests run; its templates put the names below into snake case.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml
from paths import ROOT

VALUES = ROOT / "deploy" / "kubernetes" / "values.yaml"
NAMESPACE, FULL_NAME = "atlaspatch", "atlaspatch-dagster"
"""Namespace, and what the chart calls its parts: release and chart."""


def read_values() -> dict[str, Any]:
    return yaml.safe_load(VALUES.read_text(encoding="utf-8"))


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda match: f"_{match[1].lower()}", name)


def snake_keys(value: Any) -> Any:
    """Return settings with their own names in snake case."""
    if isinstance(value, Mapping):
        return {snake(name): snake_keys(inner) for name, inner in value.items()}
    return [snake_keys(inner) for inner in value] if isinstance(value, list) else value


def launcher_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of K8sRunLauncher as the chart writes it into dagster.yaml."""
    stated = dict(values["runLauncher"]["config"]["k8sRunLauncher"])
    of_pods = stated.pop("runK8sConfig")
    secrets = [secret["name"] for secret in stated.pop("envSecrets")]
    return snake_keys(stated) | {
        "job_namespace": NAMESPACE,
        "service_account_name": FULL_NAME,
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": f"{FULL_NAME}-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "env_config_maps": [f"{FULL_NAME}-pipeline-env"],
        "env_secrets": secrets,
        # What stands in these is Kubernetes' own and keeps its names.
        "run_k8s_config": {snake(part): settings for part, settings in of_pods.items()},
    }


def instance_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those sections of dagster.yaml that say which runs begin, are started again and are forgotten."""
    daemon = values["dagsterDaemon"]
    queue = snake_keys(daemon["runCoordinator"]["config"]["queuedRunCoordinator"])
    return {
        "concurrency": {
            name: section for name, section in snake_keys(values["concurrency"]).items() if name != "enabled"
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": daemon["runCoordinator"]["type"],
            "config": queue,
        },
        "run_monitoring": snake_keys(daemon["runMonitoring"]),
        "run_retries": snake_keys(daemon["runRetries"]),
        "sensors": snake_keys(daemon["sensors"]),
        "retention": {name: snake_keys(values["retention"][name]) for name in ("sensor", "schedule")},
        "telemetry": values["telemetry"],
    }

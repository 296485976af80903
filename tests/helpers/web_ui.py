"""The web UI's own questions and buttons, over GraphQL, without a server; they have no public door."""

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext  # noqa: TID251
from dagster._core.workspace.load_target import EmptyWorkspaceTarget  # noqa: TID251
from dagster_webserver.webserver import DagsterWebserver
from starlette.testclient import TestClient


def cancel_in_web_ui(instance: dg.DagsterInstance, run_id: str) -> str:
    """Cancel a run as the button does, without force; return the type of the answer."""
    mutation = "mutation Cancel($run: String!) { terminateRun(runId: $run) { __typename } }"
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context:
        client = TestClient(DagsterWebserver(context).create_asgi_app())
        answer = client.post("/graphql", json={"query": mutation, "variables": {"run": run_id}})
    return answer.json()["data"]["terminateRun"]["__typename"]

"""Dagster's GraphQL API over HTTP: launch, look at and terminate runs.

A launch is a request, not a right: run config carries ids only, and the claim in the database
decides what a run may do. Nothing of Dagster is imported here.
"""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import urllib3

from radiant_dagster.errors import DagsterUnavailable

REPOSITORY = {
    "repositoryLocationName": "radiant_dagster",
    "repositoryName": "__repository__",
}
NOT_BEGUN = frozenset({"QUEUED", "NOT_STARTED", "STARTING"})
NOT_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { className }
    ... on UnauthorizedError { message }
  }
}
"""
TERMINATE = """
mutation Terminate($runId: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $runId, terminatePolicy: $policy) {
    __typename ... on PythonError { className }
  }
}
"""
DELETE = """
mutation Delete($runId: String!) {
  deleteRun(runId: $runId) { __typename ... on PythonError { className } }
}
"""
RUN = """
query Run($runId: ID!) {
  runOrError(runId: $runId) {
    __typename ... on Run { status startTime endTime tags { key value } }
  }
}
"""
VERSION = "query { version }"
LOCATIONS = """
query { workspaceOrError { __typename ... on Workspace {
  locationEntries { name loadStatus locationOrLoadError { __typename } } } } }
"""
DAEMONS = """
query { instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }
"""


@dataclass(frozen=True, slots=True)
class RunState:
    """Dagster's view of a run; times in seconds since the epoch, None where not reached.

    ``will_retry``: its worker was lost and Dagster runs it again.
    """

    status: str
    started: float | None
    ended: float | None
    will_retry: bool = False


class DagsterApi:
    """A small GraphQL client.

    Args:
        url: Base URL of the webserver.
        public_url: The same as people reach it, for links.
        read_seconds: Most to wait for an answer.
    """

    def __init__(
        self, url: str, *, public_url: str | None = None, read_seconds: float = 30
    ) -> None:
        self._url = url
        self._public_url = public_url or url
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=3, read=read_seconds), retries=False
        )

    def run_link(self, run_id: str) -> str:
        """Return the page of a run in Dagit."""
        return f"{self._public_url}/runs/{run_id}"

    def launch_think_tank(self, tenant_id: UUID, session_id: UUID) -> str:
        """Launch a session's first job and return the run id.

        Raises:
            DagsterUnavailable: The webserver is away or refused.
        """
        config = {"tenant_id": str(tenant_id), "session_id": str(session_id)}
        tags = {"radiant/session_id": str(session_id), "radiant/tenant_id": str(tenant_id)}
        return self.launch("think_tank", "open_session", config, tags)

    def launch(self, job: str, op: str, config: dict[str, str], tags: dict[str, str]) -> str:
        """Launch a job whose first op takes ids, and return the run id.

        Args:
            job: Name of the job.
            op: The op that reads the ids.
            config: Ids only; Dagster stores and shows it.
            tags: Ids only, for the same reason.

        Raises:
            DagsterUnavailable: The webserver is away or refused.
        """
        params = {
            "selector": {**REPOSITORY, "jobName": job},
            "runConfigData": json.dumps({"ops": {op: {"config": config}}}),
            "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
        }
        result = self._query(LAUNCH, {"params": params})["launchRun"]
        if result["__typename"] != "LaunchRunSuccess":
            raise DagsterUnavailable(self._url, f"launch of {job} refused ({result['__typename']})")
        return result["run"]["runId"]

    def terminate(self, run_id: str) -> bool:
        """Ask a run to stop; False where it had ended or is unknown."""
        state = self.run_state(run_id)
        # Dagster refuses to end a run that no worker has begun, unless told to mark it as ended.
        begun = state is not None and state.status not in NOT_BEGUN
        policy = "SAFE_TERMINATE" if begun else "MARK_AS_CANCELED_IMMEDIATELY"
        variables = {"runId": run_id, "policy": policy}
        result = self._query(TERMINATE, variables)["terminateRun"]
        return result["__typename"] == "TerminateRunSuccess"

    def delete_run(self, run_id: str) -> None:
        """Delete an ended run with its events; one that is gone already is fine.

        Raises:
            DagsterUnavailable: The webserver is away or refused.
        """
        result = self._query(DELETE, {"runId": run_id})["deleteRun"]
        if result["__typename"] not in ("DeletePipelineRunSuccess", "RunNotFoundError"):
            raise DagsterUnavailable(
                self._url, f"deletion of a run refused ({result['__typename']})"
            )

    def run_state(self, run_id: str) -> RunState | None:
        """Return a run's state, None where Dagster does not know it."""
        run = self._query(RUN, {"runId": run_id})["runOrError"]
        if run["__typename"] != "Run":
            return None
        tags: list[dict[str, str]] = run.get("tags") or []
        will_retry = {"key": "dagster/will_retry", "value": "true"} in tags
        return RunState(run["status"], run["startTime"], run["endTime"], will_retry)

    def version(self) -> str:
        """Return the webserver's Dagster version; raises DagsterUnavailable where it is away."""
        return self._query(VERSION, {})["version"]

    def location_loaded(self) -> bool:
        """Tell whether our code location is loaded without an error."""
        workspace = self._query(LOCATIONS, {})["workspaceOrError"]
        entries: list[dict[str, Any]] = workspace.get("locationEntries", [])
        for entry in entries:
            loaded: dict[str, Any] = entry["locationOrLoadError"] or {}
            if entry["name"] == REPOSITORY["repositoryLocationName"]:
                return loaded.get("__typename") == "RepositoryLocation"
        return False

    def unhealthy_daemons(self) -> list[str]:
        """Return the types of required daemons that are not healthy, e.g. ``SENSOR``."""
        health = self._query(DAEMONS, {})["instance"]["daemonHealth"]["allDaemonStatuses"]
        return [d["daemonType"] for d in health if d["required"] and not d["healthy"]]

    def _query(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        try:
            response = self._http.request(
                "POST", f"{self._url}/graphql", json={"query": query, "variables": variables}
            )
            if response.status != 200:
                raise DagsterUnavailable(
                    self._url, f"HTTP {response.status}", may_have_acted=response.status >= 500
                )
            answer: dict[str, Any] = response.json()
        except (urllib3.exceptions.HTTPError, json.JSONDecodeError) as error:
            sent = not isinstance(error, NOT_SENT)
            raise DagsterUnavailable(self._url, type(error).__name__, may_have_acted=sent) from None
        data: dict[str, Any] | None = answer.get("data")
        if data is None:
            raise DagsterUnavailable(self._url, "it answered with an error")
        return data

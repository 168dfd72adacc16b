"""Writes DAGSTER_HOME of the embedded stack, and asks Dagster's webserver whether it is whole."""

import http.client
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from radiant_dagster.local.home import private_folder, write_private
from radiant_dagster.local.ports import LOOPBACK

LOCATION_NAME = "radiant_dagster"
WORKSPACE = """\
load_from:
  - grpc_server:
      host: {host}
      port: {port}
      location_name: {name}
"""
LOCATIONS = """
query RadiantLocations {
  workspaceOrError {
    ... on Workspace { locationEntries { name loadStatus locationOrLoadError { __typename } } }
  }
}
"""


def write_dagster_home(home: Path, code_port: int) -> Path:
    """Write dagster.yaml (the one production uses too) and workspace.yaml; return the folder."""
    folder = private_folder(home, "dagster")
    text = (files("radiant_dagster.local") / "dagster.yaml").read_text()
    write_private(folder / "dagster.yaml", text)
    write_private(
        folder / "workspace.yaml",
        WORKSPACE.format(host=LOOPBACK, port=code_port, name=LOCATION_NAME),
    )
    return folder


def code_location_loaded(webserver_port: int) -> bool:
    """Tell whether the webserver answers and has loaded our code location without an error."""
    connection = http.client.HTTPConnection(LOOPBACK, webserver_port, timeout=10)
    try:
        connection.request(
            "POST",
            "/graphql",
            json.dumps({"query": LOCATIONS}),
            {"Content-Type": "application/json"},
        )
        answer: Any = json.loads(connection.getresponse().read())
        entries = answer["data"]["workspaceOrError"]["locationEntries"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()
    return any(
        entry["name"] == LOCATION_NAME
        and entry["locationOrLoadError"]
        and entry["locationOrLoadError"]["__typename"] == "RepositoryLocation"
        for entry in entries
    )

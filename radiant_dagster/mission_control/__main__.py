"""Starts Mission Control as `radiant up` does: ``python -m radiant_dagster.mission_control``."""

import argparse
import os

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.mission_control.server import run


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m radiant_dagster.mission_control")
    parser.add_argument("--host", required=True, help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    options = parser.parse_args()
    settings = Settings.load(os.environ, stack=False)
    where = {"mission_control_host": options.host, "mission_control_port": options.port}
    run(settings.model_copy(update=where))


if __name__ == "__main__":
    main()

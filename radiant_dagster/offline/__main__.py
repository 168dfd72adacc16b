"""Starts the demo model: ``python -m radiant_dagster.offline --port 4010``."""

import argparse

import uvicorn

from radiant_dagster.offline.server import build_app


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m radiant_dagster.offline",
        description="An OpenAI-compatible server with deterministic demo answers, for machines "
        "without keys. It is no language model and gives no advice.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument(
        "--latency-ms",
        type=int,
        default=None,
        help="time each answer takes (default: 150 to 400 ms, the same for the same role)",
    )
    options = parser.parse_args()
    if options.latency_ms is not None and options.latency_ms < 0:
        parser.error("--latency-ms must not be negative")
    uvicorn.run(
        build_app(options.latency_ms),
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main()

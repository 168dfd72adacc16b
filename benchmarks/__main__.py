"""Runs the benchmarks on servers of their own and prints one JSON object a line.

    python -m benchmarks [--only session,approve,governor,consult,faults,decide_under_load,learning]
                         [--rounds N] [--sessions N] [--requests N] [--rows N]
                         [--data FOLDER] [--seeds N] [--questions N]

Compare figures of one run only: absolute times belong to the machine and its load that day, so
each round also measures the same work in plain asyncio, which has no orchestration at all.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.approve import approve_part
from benchmarks.consult import consult_part
from benchmarks.decide_under_load import decide_under_load_part
from benchmarks.faults import faults_part
from benchmarks.governor import governor_part
from benchmarks.learning import learning_part, missing_data
from benchmarks.stack import bench_stack
from benchmarks.suite import PARTS as SUITE
from benchmarks.suite import Line

PARTS = {**SUITE, "approve": approve_part}
ALL = (*PARTS, "governor", "consult", "faults", "decide_under_load", "learning")
DATA = Path("..", "shared", "data", "memory")  # beside the checkout


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(ALL), help=f"Parts: {', '.join(ALL)}")
    parser.add_argument("--rounds", type=int, default=3, help="Rounds of the session part")
    parser.add_argument("--sessions", type=int, default=1000, help="Sessions of the faults part")
    parser.add_argument("--requests", type=int, default=500, help="Of the part decide_under_load")
    parser.add_argument("--rows", type=int, default=300_000, help="Of the part consult")
    parser.add_argument("--data", type=Path, default=DATA, help="CLINC150, of the part learning")
    parser.add_argument("--seeds", type=int, default=5, help="Of the part learning")
    parser.add_argument("--questions", type=int, default=6000, help="Rounds of the part learning")
    options = parser.parse_args()
    wanted = [name for name in options.only.split(",") if name]
    unknown = sorted(set(wanted) - set(ALL))
    if unknown:
        parser.error(f"unknown part {', '.join(unknown)}; there are {', '.join(ALL)}")
    problem = missing_data(options.data) if "learning" in wanted else None
    if problem:
        parser.error(problem)
    # As root the servers run under another user, who must be able to reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="radiant-bench-"))
    folder.chmod(0o755)
    print(f"# load {os.getloadavg()[0]:.2f} at the start, {os.cpu_count()} cores", file=sys.stderr)
    try:
        for line in _run(wanted, folder, options):
            print(json.dumps(line), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(wanted: list[str], folder: Path, options: argparse.Namespace) -> Iterator[Line]:
    if "governor" in wanted:  # needs a database only
        yield from governor_part(folder / "governor")
    if "consult" in wanted:  # a database only
        yield from consult_part(folder / "consult", options.rows)
    if "faults" in wanted:  # a model server of its own, that fails
        yield from faults_part(folder / "faults", options.sessions)
    if "decide_under_load" in wanted:  # processes are killed in its stack
        yield from decide_under_load_part(folder / "load", options.requests)
    if "learning" in wanted:
        yield from learning_part(
            folder / "learning", options.data, options.seeds, options.questions
        )
    on_stack = [name for name in wanted if name in PARTS]
    if on_stack:
        with bench_stack(folder / "home") as bench:
            for name in on_stack:
                yield from PARTS[name](bench, options.rounds)


if __name__ == "__main__":
    main()

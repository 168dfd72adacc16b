"""Runs the benchmarks on a stack of their own and prints one JSON object a line.

    python -m benchmarks [--only session,resume] [--rounds N]

Compare figures of one run only: absolute times belong to the machine and its load that day, so
each round also measures the same work in plain asyncio, which has no orchestration at all.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.stack import bench_stack
from benchmarks.suite import PARTS


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"Parts: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="Rounds of the session part")
    options = parser.parse_args()
    wanted = [name for name in options.only.split(",") if name]
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        parser.error(f"unknown part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    # As root the servers run under another user, who must be able to reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="radiant-bench-"))
    folder.chmod(0o755)
    print(f"# load {os.getloadavg()[0]:.2f} at the start, {os.cpu_count()} cores", file=sys.stderr)
    try:
        with bench_stack(folder / "home") as bench:
            for name in wanted:
                for line in PARTS[name](bench, options.rounds):
                    print(json.dumps(line), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

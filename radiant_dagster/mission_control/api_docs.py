"""Writes the API's reference: ``python -m radiant_dagster.mission_control.api_docs FOLDER``."""

import sys
from pathlib import Path

from radiant_dagster.mission_control.api_document import as_json, as_markdown, build
from radiant_dagster.mission_control.api_operations import OPERATIONS


def main(folder: Path) -> None:
    """Write openapi.json and api.md."""
    (folder / "openapi.json").write_text(as_json(build(OPERATIONS)), encoding="utf-8")
    (folder / "api.md").write_text(as_markdown(OPERATIONS), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

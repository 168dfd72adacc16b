"""Panels: named sets of agents, read from YAML and stored as JSON."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import InvalidInput

MAX_PANEL_BYTES = 256_000


class AgentEntry(BaseModel):
    """One agent as it stands in a panel file."""

    model_config = ConfigDict(extra="forbid", strict=True)
    agent_id: str
    role: str
    model: str
    temperature: float = 0.7
    max_tokens: int = 2048
    tools: list[str] | None = None
    instructions: str = ""
    output_schema: dict[str, Any] | None = None

    def config(self) -> AgentConfig:
        """Return the domain's form."""
        fields = self.model_dump(exclude={"tools"})
        return AgentConfig(**fields, tools=tuple(self.tools) if self.tools else None)


class PanelEntry(BaseModel):
    """One panel as it stands in a file."""

    model_config = ConfigDict(extra="forbid", strict=True)
    description: str = ""
    agents: list[AgentEntry]


def default_panels() -> dict[str, PanelEntry]:
    """Return the panels a new tenant starts with."""
    text = (files("radiant_dagster.adapters.panels") / "default.yaml").read_text()
    return TypeAdapter(dict[str, PanelEntry]).validate_python(yaml.safe_load(text))


def load_panel_file(path: Path) -> tuple[AgentConfig, ...]:
    """Read a panel file: a YAML mapping with `agents`, or a bare list of agents.

    Raises:
        InvalidInput: Names the line or field that is wrong and the fix.
    """
    example = "See `radiant think --help` for an example."
    try:
        if path.stat().st_size > MAX_PANEL_BYTES:
            raise InvalidInput("panel", f"{path} is larger than 256 KB", "Shorten it.")
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise InvalidInput("panel", f"no file {path}", "Name an existing YAML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "panel", f"{path} cannot be read ({type(error).__name__})", "Check the file."
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise InvalidInput("panel", f"{path} is not valid YAML{line}", example) from None
    except (ValueError, RecursionError):  # an impossible date; brackets nested without end
        raise InvalidInput("panel", f"{path} cannot be understood as YAML", example) from None
    entries: object = document
    if isinstance(document, dict):
        entries = cast("dict[str, object]", document).get("agents")
    return agents_from(entries, where="agents", fix=example)


def agents_from(
    entries: object, *, where: str = "agents", fix: str = ""
) -> tuple[AgentConfig, ...]:
    """Turn decoded YAML or JSON into agents.

    Raises:
        InvalidInput: Names the entry and field.
    """
    if not isinstance(entries, list):
        raise InvalidInput(where, "is not a list of agents", fix or "Pass a list of agents.")
    agents: list[AgentConfig] = []
    for position, entry in enumerate(cast("list[object]", entries)):
        try:
            agents.append(AgentEntry.model_validate(entry).config())
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            name = f"{where}[{position}].{field}" if field else f"{where}[{position}]"
            raise InvalidInput(name, first["msg"], fix or "Correct it.") from None
    return tuple(agents)


def agents_to_json(agents: Sequence[AgentConfig]) -> str:
    """Return agents as the JSON that the panel table stores."""
    return json.dumps([agent_to_dict(agent) for agent in agents])


def agent_to_dict(agent: AgentConfig) -> Mapping[str, Any]:
    """Return one agent as plain data."""
    return {
        "agent_id": agent.agent_id,
        "role": agent.role,
        "model": agent.model,
        "temperature": agent.temperature,
        "max_tokens": agent.max_tokens,
        "tools": list(agent.tools) if agent.tools else None,
        "instructions": agent.instructions,
        "output_schema": agent.output_schema,
    }

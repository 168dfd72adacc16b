"""Finds the installed tools: entry points of the group ``radiant.tools``.

A tool is imported when it is needed, so that a broken package of somebody else's costs those who
use it only. What an entry point brings is checked once here, before a model ever hears of it.
"""

import json
from collections.abc import Collection, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from radiant_dagster.domain.governor import counted_characters
from radiant_dagster.domain.tools import (
    MAX_DEFINITION_COUNTED,
    MAX_DESCRIPTION_CHARACTERS,
    TOOL_NAME,
    Tool,
    definition,
)
from radiant_dagster.errors import ConfigurationError

GROUP = "radiant.tools"


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of all installed tools by name; imports none of them.

    Raises:
        ConfigurationError: Two distributions offer one name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.setdefault(point.name, point)
        if other is not point:  # equal ones may come from different distributions
            raise ConfigurationError(
                f"{GROUP}: {point.name}",
                f"is offered by {distribution(other)} and by {distribution(point)}",
                "Uninstall one of them, or have its author rename the tool.",
            )
    return found


def distribution(point: EntryPoint) -> str:
    """Return the name and version of the distribution behind an entry point."""
    dist = point.dist
    return f"{dist.name} {dist.version}" if dist is not None else "an unknown distribution"


def load(point: EntryPoint) -> Tool:
    """Import a tool and check it.

    Raises:
        ConfigurationError: Names the entry point, its distribution and what is wrong.
    """
    try:
        value: object = point.load()
    except Exception as error:  # noqa: BLE001 - anything may happen while a stranger's module loads
        raise _refused(point, f"cannot be imported ({type(error).__name__})") from None
    problem = problem_of(value)
    if problem is None and cast("Tool", value).name != point.name:
        problem = f"calls itself {cast('Tool', value).name!r}"
    if problem is not None:
        raise _refused(point, problem)
    return cast("Tool", value)


def load_named(names: Collection[str]) -> dict[str, Tool]:
    """Return those of the named tools that are installed.

    Raises:
        ConfigurationError: See `installed` and `load`.
    """
    return {name: load(point) for name, point in installed().items() if name in names}


def _refused(point: EntryPoint, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{GROUP}: {point.name} = {point.value} of {distribution(point)}",
        problem,
        "Mend or uninstall that package; docs/tools.md says how a tool looks.",
    )


def problem_of(value: object) -> str | None:
    """Return why something is no usable tool, None where it is one."""
    name = getattr(value, "name", None)
    description = getattr(value, "description", None)
    parameters = getattr(value, "parameters", None)
    if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
        return "its name is not 1 to 64 letters, digits, '_' or '-'"
    if not isinstance(description, str) or not description.strip():
        return "its description is no text"
    if len(description) > MAX_DESCRIPTION_CHARACTERS:
        return f"its description is longer than {MAX_DESCRIPTION_CHARACTERS:,} characters"
    if not callable(getattr(value, "run", None)):
        return "it has no method run(arguments, context)"
    if not isinstance(parameters, Mapping):
        return "its parameters are no JSON schema"
    return _problem_of_schema(cast("Tool", value))


def _problem_of_schema(tool: Tool) -> str | None:
    schema = tool.parameters
    try:
        size = counted_characters(json.dumps(definition(tool), ensure_ascii=False))
        Draft202012Validator.check_schema(schema)
    except (TypeError, ValueError, RecursionError):
        return "its parameters are no JSON"
    except SchemaError as error:
        where = "/".join(map(str, error.absolute_path))
        return f"its parameters are no JSON schema (at /{where})"
    if schema.get("type") != "object":
        return "its parameters are not of the type object"
    if _refers_outside(schema):
        return "its parameters refer to another document; only '#/...' is followed"
    if size > MAX_DEFINITION_COUNTED:
        return "its description and parameters are too long; models are sent them in every round"
    return None


def _refers_outside(value: Any) -> bool:
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value)
        reference = items.get("$ref", items.get("$dynamicRef", "#"))
        outside = isinstance(reference, str) and not reference.startswith("#")
        return outside or any(_refers_outside(item) for item in items.values())
    return isinstance(value, list) and any(map(_refers_outside, cast("list[Any]", value)))


def misfit(tool: Tool, arguments: Mapping[str, Any]) -> str | None:
    """Return where arguments break the tool's schema, None where they fit.

    Returns:
        Path and rule, for the model; the value that broke it is left out.
    """
    # An empty registry: a schema never makes this process fetch another one.
    validator = Draft202012Validator(tool.parameters, registry=Registry[Any]())
    try:
        error = next(validator.iter_errors(arguments), None)  # pyright: ignore[reportUnknownMemberType]
    except (Unresolvable, RecursionError):
        return "The tool's JSON schema cannot be applied. Go on without it."
    if error is None:
        return None
    where = "/".join(map(str, error.absolute_path))
    rule = json.dumps(error.validator_value, ensure_ascii=False)[:200]
    return f"The argument at /{where} breaks the rule {error.validator!r}: {rule}."

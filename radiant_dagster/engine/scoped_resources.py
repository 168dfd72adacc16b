"""Builds the `resources` object of a step once for each set of keys.

Dagster makes a new named tuple class for every step and for every check of an input's or output's
type, which was a twelfth of a worker's CPU. The objects are immutable and their resources live as
long as the run, so steps that ask for the same keys can share one.
"""

from collections.abc import Set
from typing import Any

from dagster._core.definitions.scoped_resources_builder import ScopedResourcesBuilder
from dagster._core.execution.context.system import PlanExecutionContext


class SharedScopedResources(ScopedResourcesBuilder):
    """A `ScopedResourcesBuilder` that remembers what it built."""

    _built: dict[frozenset[str], Any]

    @classmethod
    def around(cls, builder: ScopedResourcesBuilder) -> "SharedScopedResources":
        """Return a builder over the same resources."""
        shared = cls(builder.resource_instance_dict, builder.contains_generator)
        shared._built = {}
        return shared

    def build(self, required_resource_keys: Set[str] | None) -> Any:
        """Return the resources of these keys."""
        keys = frozenset(required_resource_keys or ())
        if keys not in self._built:  # two steps at once may both build: equal, so no lock
            self._built[keys] = super().build(keys)
        return self._built[keys]


def share_resources(job_context: PlanExecutionContext) -> None:
    """Let all steps of a run share the objects that carry their resources."""
    data = job_context._execution_data  # pyright: ignore[reportPrivateUsage]
    shared = SharedScopedResources.around(data.scoped_resources_builder)
    job_context._execution_data = data._replace(scoped_resources_builder=shared)

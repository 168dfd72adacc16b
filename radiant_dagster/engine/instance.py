"""One Dagster instance a process, kept for all its runs.

Making an instance costs tenths of a second and connections; a worker that makes one a run uses up
the server's connections. `process_instance()` makes it at the first call, which must be after any
fork: no pool, thread or connection may be inherited.
"""

import atexit
import os
import threading
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import ConfigurableClassData

from radiant_dagster.engine.storage import GroupingEventLogStorage, PooledPostgresStorage
from radiant_dagster.errors import ConfigurationError

OURS_OR_DAGSTERS = frozenset({"DagsterPostgresStorage", "RadiantPostgresStorage"})

_lock = threading.Lock()
_instance: tuple[int, dg.DagsterInstance] | None = None


def pooled_ref(ref: InstanceRef) -> InstanceRef:
    """Return the same instance with our pooled storage where it keeps its data in Postgres."""
    data = ref.storage_data
    if data is None or data.class_name not in OURS_OR_DAGSTERS:
        return ref
    if data.config_dict.get("auth_provider"):
        return ref  # short-lived tokens: Dagster's own storage knows how to renew them
    return ref._replace(
        storage_data=ConfigurableClassData(
            PooledPostgresStorage.__module__, PooledPostgresStorage.__name__, data.config_yaml
        )
    )


def open_instance(dagster_home: str | Path) -> dg.DagsterInstance:
    """Open the instance that `dagster.yaml` in this folder describes, pooled.

    Raises:
        ConfigurationError: The folder does not exist.
    """
    home = Path(dagster_home)
    if not home.is_dir():
        raise ConfigurationError(
            "DAGSTER_HOME", f"{home} is not a folder", "Start the stack with `radiant up`."
        )
    return dg.DagsterInstance.from_ref(pooled_ref(InstanceRef.from_dir(str(home))))


def process_instance(dagster_home: str | Path) -> dg.DagsterInstance:
    """Return this process's instance; the first call makes it. Never dispose it per run."""
    global _instance
    with _lock:
        if _instance is None or _instance[0] != os.getpid():
            instance = open_instance(dagster_home)
            _instance = (os.getpid(), instance)
            atexit.register(flush, instance)
        return _instance[1]


def flush(instance: dg.DagsterInstance) -> None:
    """Write the events that still wait; call it when a run's work is done."""
    storage = instance.event_log_storage
    if isinstance(storage, GroupingEventLogStorage):
        storage.flush()

"""The Celery worker that executes runs: `celery -A radiant_dagster.worker worker -P prefork`.

A process boundary: it reads the environment and imports the definitions before the children are
forked, so that they share them. It opens nothing itself.
"""

import os

from celery.signals import worker_process_init

# Imported for its effect: the children find the definitions loaded.
import radiant_dagster.definitions  # noqa: F401
from radiant_dagster import resources
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.engine.celery_app import make_worker_app
from radiant_dagster.errors import ConfigurationError

_settings = Settings.load(os.environ)
if _settings.broker_url is None:
    raise ConfigurationError(
        "RADIANT_BROKER_URL", "is not set", "Start the stack with `radiant up`, or set it."
    )

# After the fork: connections, threads and models would break if children shared them.
worker_process_init.connect(lambda **_: resources.warm_up(), weak=False)

app = make_worker_app(
    broker_url=_settings.broker_url.get_secret_value(),
    # allowed: environment - a variable of Dagster, not a setting of ours
    dagster_home=os.environ.get("DAGSTER_HOME") or str(_settings.home / "dagster"),
)

"""The Celery application of the engine's tests: `celery -A engine_worker worker`."""

import os

import tests.orchestration.engine_jobs  # noqa: F401 - imported before the fork, as the product does
from radiant_dagster.engine.celery_app import make_worker_app

app = make_worker_app(
    broker_url=os.environ["TEST_BROKER_URL"], dagster_home=os.environ["DAGSTER_HOME"]
)

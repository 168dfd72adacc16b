"""Several reviewers decide many requests at once; nothing is lost, doubled, late or untold."""

import uuid
from dataclasses import replace

import pytest

from radiant_dagster.adapters import tenants
from radiant_dagster.domain.swarm import AgentConfig
from tests.e2e.conftest import Running
from tests.services.review_load import Records, is_genuine, judge, prepare_tenant
from tests.services.reviewers import AIMED, reviewing
from tests.services.webhook_receiver import Receiver

pytestmark = pytest.mark.timeout(240)

REQUESTS, REVIEWERS = 20, 4
AGENTS = (AgentConfig("a0", "analyst", "gpt-4o-mini"),)


def test_twenty_requests_decided_at_once_by_four_reviewers_are_each_decided_and_told_of(
    stack: Running,
) -> None:
    tenant = uuid.uuid4()
    tenants.create_tenant(stack.database, tenant, "load", "Many reviews at once")
    asking = replace(stack, tenant=tenant)
    assert stack.settings.review_database_url is not None

    with Receiver(check=is_genuine) as receiver:
        prepare_tenant(stack.database, stack.settings, tenant, receiver, brief_seconds=8)
        with reviewing(
            REVIEWERS,
            review_url=stack.settings.review_database_url.get_secret_value(),
            dagster_url=stack.settings.dagster_url,
            tenant=tenant,
            seed=7,
        ) as log:
            sessions = [
                asking.submit(
                    domain="general" if number % 4 else AIMED,
                    require_approval=True,
                    agents=AGENTS,
                )[0]
                for number in range(REQUESTS)
            ]
            records = Records(stack.settings, tenant, sessions)
            left_open = records.wait_until_quiet(120)
        verdict = judge(stack.database, tenant, records, log, receiver.received)

    assert left_open == 0
    assert (verdict.lost, verdict.doubled, verdict.late, verdict.undelivered) == ((), (), (), ())
    assert verdict.audit.holds
    assert sum(verdict.sessions.values()) == REQUESTS
    assert len(log.accepted) + verdict.decisions["expired"] == sum(verdict.decisions.values())

"""Forgets old events and what was told of them, over all tenants, under the maintenance role.

It sees when they were and whether they arrived, never what they said. An event that somebody still
has to be told of stays, however old it is.
"""

import psycopg2

from radiant_dagster.adapters.postgres import Database

BATCH = 2000  # rows a transaction, so that deliverers never wait long for one

FORGET_DELIVERIES = """
    delete from radiant.delivery d using (
        select x.tenant_id, x.event_id, x.target
        from radiant.delivery x
        join radiant.event e on e.tenant_id = x.tenant_id and e.id = x.event_id
        where coalesce(x.delivered_at, x.gave_up_at) is not null
          and e.at < clock_timestamp() - make_interval(days => %s)
        limit %s) old
    where d.tenant_id = old.tenant_id and d.event_id = old.event_id and d.target = old.target
"""
FORGET_EVENTS = """
    delete from radiant.event e using (
        select x.tenant_id, x.id
        from radiant.event x
        where x.at < clock_timestamp() - make_interval(days => %s)
          and not exists (select 1 from radiant.delivery d
                          where d.tenant_id = x.tenant_id and d.event_id = x.id)
        limit %s) old
    where e.tenant_id = old.tenant_id and e.id = old.id
"""


def forget_old(database: Database, *, days: int) -> dict[str, int]:
    """Delete finished deliveries of old events, then the events that none is left of.

    Args:
        days: From which age on, at least 1.

    Returns:
        How many deliveries and events were deleted. A second call finds nothing to do.
    """
    return {
        "deliveries": _until_done(database, FORGET_DELIVERIES, days),
        "events": _until_done(database, FORGET_EVENTS, days),
    }


def _until_done(database: Database, statement: str, days: int) -> int:
    count = 0
    while deleted := _batch(database, statement, days):
        count += deleted
    return count


def _batch(database: Database, statement: str, days: int) -> int:
    try:
        with database.system_transaction("radiant_maintenance") as cursor:
            cursor.execute(statement, (days, BATCH))
            return cursor.rowcount
    except psycopg2.errors.ForeignKeyViolation:
        # A deliverer fans one of them out at this moment; tomorrow they are looked at again.
        return 0

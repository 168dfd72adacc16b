"""Looks for the lessons near a text, and keeps the pairs that a curator should look at.

Whoever looks and then writes holds the lock of tenant and domain, so that two of them see each
other's rows. It comes before the locks of rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.grimoire.search import halfvec
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.dedup import NEIGHBOURS, Bands, Link, Neighbour, links_of
from radiant_dagster.errors import ConfigurationError

LOCK = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
# A heuristic never moves to another domain.
DOMAIN = "select domain from radiant.knowledge_heuristics where tenant_id = %s and id = %s"
LOCK_LIVE = """
    select 1 from radiant.knowledge_heuristics
    where tenant_id = %s and id = %s and state in ('quarantined', 'active') for no key update
"""
BANDS = "select merge_at, link_at from radiant.embedding_model where id = %s"
# Of each polarity, so that many alike of one never hide the opposite.
NEAREST_LIVE = """
    select id, polarity, trigger_pattern, action_template,
           1 - (embedding <=> %(query)s::halfvec) as similarity
    from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and domain = %(domain)s and embedding_model = %(model)s
      and polarity = %(polarity)s and state in ('quarantined', 'active') and id <> %(id)s
    order by embedding <=> %(query)s::halfvec limit %(limit)s
"""
LINKED_LIVE = """
    select h.id, h.polarity, h.trigger_pattern, h.action_template,
           1 - (h.embedding <=> %(query)s::halfvec) as similarity
    from radiant.heuristic_link l
    join radiant.knowledge_heuristics h on h.tenant_id = l.tenant_id
        and h.id = case when l.a = %(id)s then l.b else l.a end
    where l.tenant_id = %(tenant)s and %(id)s in (l.a, l.b) and l.state = 'open'
      and h.embedding_model = %(model)s and h.state in ('quarantined', 'active')
"""
OPEN = """
    insert into radiant.heuristic_link (tenant_id, a, b, kind, similarity)
    values (%s, least(%s, %s), greatest(%s, %s), %s, %s) on conflict do nothing
"""
# What a curator has decided of a pair stands as long as it is one of that kind.
OPEN_AGAIN = """
    insert into radiant.heuristic_link as l (tenant_id, a, b, kind, similarity)
    values (%s, least(%s, %s), greatest(%s, %s), %s, %s)
    on conflict (tenant_id, a, b) do update
        set kind = excluded.kind, similarity = excluded.similarity, state = 'open',
            decided_by = null, decided_at = null
        where l.state in ('open', 'outdated') or l.kind <> excluded.kind
"""
CLOSE = """
    update radiant.heuristic_link
    set state = 'outdated', decided_by = %(actor)s, decided_at = clock_timestamp()
    where tenant_id = %(tenant)s and state = 'open'
      and (a = %(id)s and b = any(%(apart)s::uuid[]) or b = %(id)s and a = any(%(apart)s::uuid[]))
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text lies.

    Args:
        id: The heuristic whose text it is; it is no neighbour of itself.
        embedding: The trigger's vector, L2-normalised, as long as the model's dimensions.
    """

    id: UUID
    domain: str
    embedding: Sequence[float]
    embedding_model: str

    def values(self, tenant_id: UUID) -> dict[str, Any]:
        """Return it as the statements here name it."""
        return {
            "tenant": tenant_id,
            "id": self.id,
            "domain": self.domain,
            "model": self.embedding_model,
            "query": halfvec(self.embedding),
        }


def lock_domain(cursor: Cursor, tenant_id: UUID, domain: str) -> None:
    """Wait until no other transaction keeps a lesson of the tenant's domain."""
    cursor.execute(LOCK, (f"{tenant_id}:{domain}",))


def lock_domains(cursor: Cursor, tenant_id: UUID, domains: Iterable[str]) -> None:
    """Do what `lock_domain` does for several, in one order, so that nobody waits in a circle."""
    for domain in sorted(set(domains)):
        lock_domain(cursor, tenant_id, domain)


def lock_domain_of(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> None:
    """Do what `lock_domain` does, for a heuristic's domain; nothing where it is unknown."""
    cursor.execute(DOMAIN, (tenant_id, heuristic_id))
    row = cursor.fetchone()
    if row is not None:
        lock_domain(cursor, tenant_id, row["domain"])


def lock_live(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> bool:
    """Keep a heuristic in use until this transaction ends; False where it is not any more."""
    cursor.execute(LOCK_LIVE, (tenant_id, heuristic_id))
    return cursor.fetchone() is not None


def bands_of(cursor: Cursor, model: str) -> Bands:
    """Return from which similarity on lessons of an embedding model are merged or linked.

    Raises:
        ConfigurationError: The model is not registered.
    """
    cursor.execute(BANDS, (model,))
    row = cursor.fetchone()
    if row is None:
        raise ConfigurationError(
            "RADIANT_EMBEDDING_MODEL", f"{model} is not registered", "Run `radiant doctor`."
        )
    return Bands(row["merge_at"], row["link_at"])


def nearest(cursor: Cursor, tenant_id: UUID, place: Place) -> list[Neighbour]:
    """Return the nearest live lessons of either polarity, nearest first."""
    found: list[Neighbour] = []
    for polarity in ("do", "avoid"):
        values = place.values(tenant_id) | {"polarity": polarity, "limit": NEIGHBOURS}
        cursor.execute(NEAREST_LIVE, values)
        found += [Neighbour(**row) for row in cursor.fetchall()]
    return sorted(found, key=lambda other: -other.similarity)


def open_link(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID, link: Link) -> None:
    """Let a curator look at a new lesson and another one."""
    _open(cursor, tenant_id, heuristic_id, link, OPEN)


def link_again(
    cursor: Cursor, tenant_id: UUID, place: Place, row: Mapping[str, Any], *, actor: str
) -> tuple[int, int]:
    """Compare a changed text with the others, under the lock of its domain.

    Pairs that are alike wait for a curator from now on; open ones that are not are outdated. What
    was decided stands, unless a near copy became a conflict or the other way round.

    Args:
        row: With ``polarity`` and the new ``trigger_pattern`` and ``action_template``.

    Returns:
        How many pairs were opened or stayed open, and how many are outdated.
    """
    values = place.values(tenant_id)
    cursor.execute(LINKED_LIVE, values)
    linked = [Neighbour(**other) for other in cursor.fetchall()]
    others = {other.id: other for other in (*nearest(cursor, tenant_id, place), *linked)}
    links = links_of(
        row["polarity"],
        row["trigger_pattern"],
        row["action_template"],
        list(others.values()),
        bands_of(cursor, place.embedding_model),
    )
    opened = sum(_open(cursor, tenant_id, place.id, link, OPEN_AGAIN) for link in links)
    apart = others.keys() - {link.other for link in links}
    cursor.execute(CLOSE, values | {"actor": actor, "apart": [str(other) for other in apart]})
    return opened, cursor.rowcount


def _open(cursor: Cursor, tenant_id: UUID, one: UUID, link: Link, statement: str) -> int:
    pair = (one, link.other)
    cursor.execute(statement, (tenant_id, *pair, *pair, link.kind, link.similarity))
    return cursor.rowcount

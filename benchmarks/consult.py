"""Consulting a large Grimoire: 300,000 rows of 200 tenants, row-level security on.

Tenants' sizes follow Zipf's law (1.1), rows of each are spread over four domains, vectors lie in
clusters that all tenants share. On a Postgres of its own; the rows are copied in, the indexes of
large domains are made by the product's code. Every query goes through `look_up`, as a session's
does, with its vector given.
"""

import io
import random
import struct
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg2
import psycopg2.extras

from benchmarks.suite import Line
from radiant_dagster.adapters import migrations, tenants
from radiant_dagster.adapters.grimoire.lookup import look_up
from radiant_dagster.adapters.grimoire.search import EXACT, SearchOptions, nearest
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.vector_index import arrange
from radiant_dagster.domain.heuristics import exact_sha256
from radiant_dagster.local.home import prepare_home
from radiant_dagster.local.ports import assign_ports
from radiant_dagster.local.postgres import STOP_SECONDS, start_postgres, wait_for_postgres
from radiant_dagster.local.processes import Guard, stop

TENANTS, DOMAINS = 200, ("general", "medical", "legal", "financial")
DIMENSIONS, CLUSTERS, ZIPF = 384, 1_000, 1.1
MODEL = "all-MiniLM-L6-v2-int8"
QUERIES = 300
SIZES = (("big", 5_000), ("mid", 500), ("small", 0))  # rows of a tenant, at least
TOP = 10
LOGIN = "create role radiant login noinherit password 'radiant'"
COPY = """
    copy radiant.knowledge_heuristics (tenant_id, id, domain, trigger_pattern, action_template,
        embedding, embedding_model, state, content_sha256, approved_sha256, created_by, expires_at)
    from stdin with (format binary)
"""
IN_2050 = struct.pack(">q", 1_577_923_200_000_000)  # microseconds since 2000
Query = tuple[uuid.UUID, str, str, list[float]]
"""Tenant, its size's name, domain, vector."""


def consult_part(home: Path, rows: int) -> Iterator[Line]:
    """Time of a consultation and recall of its ten nearest, by tenants' size, by exact rows."""
    home, guard = prepare_home(home), Guard()
    port = assign_ports(home, {"postgres": None})["postgres"]
    server = start_postgres(home, port, guard=guard)
    try:
        wait_for_postgres(server).close()
        connection = psycopg2.connect(
            server.admin_url, cursor_factory=psycopg2.extras.RealDictCursor
        )
        connection.autocommit = True
        psycopg2.extras.register_uuid(conn_or_curs=connection)
        with connection.cursor() as cursor:
            cursor.execute(LOGIN)
            migrations.migrate(server.admin_url, logins={"radiant": migrations.LOGIN_ROLES})
            parts = urlsplit(server.admin_url)
            netloc = f"radiant:radiant@{parts.netloc.rpartition('@')[2]}"
            database = Database(urlunsplit(parts._replace(netloc=netloc)), pool_size=8)
            queries = _fill(cursor, database, rows)
        connection.close()
        truth = _nearest(database, queries, EXACT)
        yield from _lines(database, queries, EXACT, truth, {"rows": rows, "index_above": None})
        for above in (5_000, 2_000):
            began = time.perf_counter()
            done = arrange(database, server.admin_url, above)
            built = round(time.perf_counter() - began, 1)
            yield {
                "bench": "consult_index_build", "params": {"rows": rows, "index_above": above},
                "value": built, "unit": "s", "n": len(done.created),
            }  # fmt: skip
            by_index, params = SearchOptions(by_index=True), {"rows": rows, "index_above": above}
            yield from _lines(database, queries, by_index, truth, params)
        database.close()
    finally:
        stop([server.child], grace_seconds=STOP_SECONDS)
        guard.close()


def _lines(
    database: Database,
    queries: Sequence[Query],
    how: SearchOptions,
    truth: list[set[uuid.UUID]],
    params: Line,
) -> Iterator[Line]:
    recalls = _recalls(truth, _nearest(database, queries, how))
    for clients in (1, 8):
        spent = _timed(database, queries, how, clients)
        yield _line({**params, "clients": clients}, queries, spent, recalls)


def _fill(cursor: Any, database: Database, rows: int) -> list[Query]:
    """Create the tenants and their rows; return queries."""
    random_, chance = np.random.default_rng(11), random.Random(11)
    shares = np.arange(1, TENANTS + 1) ** -ZIPF
    counts = np.maximum(1, (shares / shares.sum() * rows).astype(int))
    centres = random_.normal(size=(CLUSTERS, DIMENSIONS))
    ids = [uuid.uuid4() for _ in counts]
    for n, tenant in enumerate(ids):
        tenants.create_tenant(database, tenant, f"tenant-{n}", "Benchmark")
    cursor.execute("set session_replication_role = replica")  # copies without looking up keys
    for tenant, count in zip(ids, counts, strict=True):
        cursor.copy_expert(COPY, _binary(tenant, _vectors(random_, centres, int(count))))
    cursor.execute("set session_replication_role = origin")
    cursor.execute("vacuum (analyze) radiant.knowledge_heuristics")
    weights = [counts.tolist(), [1] * len(ids)]  # half of the queries by rows, half by tenants
    queries: list[Query] = []
    for n, vector in enumerate(_vectors(random_, centres, QUERIES)):
        (position,) = chance.choices(range(len(ids)), weights[n % 2])
        size = next(name for name, least in SIZES if counts[position] >= least)
        queries.append((ids[position], size, chance.choice(DOMAINS), vector.tolist()))
    return queries


def _vectors(random_: np.random.Generator, centres: np.ndarray, count: int) -> np.ndarray:
    chosen = centres[random_.integers(0, len(centres), count)]
    vectors = chosen + 0.7 * random_.normal(size=chosen.shape)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _binary(tenant: uuid.UUID, vectors: np.ndarray) -> io.BytesIO:
    """Return rows in COPY's binary format; as text the vectors alone would be a gigabyte."""
    out = io.BytesIO()
    out.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    head = struct.pack(">hh", DIMENSIONS, 0)
    for n, vector in enumerate(vectors.astype(">f2")):
        item = uuid.uuid4()
        trigger, action = f"A question of kind {n}", f"Name the source and the date of kind {n}."
        values = (
            tenant.bytes, item.bytes, DOMAINS[n % 4].encode(), trigger.encode(), action.encode(),
            head + vector.tobytes(), MODEL.encode(), b"active", item.bytes,
            exact_sha256("do", trigger, action), b"human", IN_2050,
        )  # fmt: skip
        out.write(struct.pack(">h", len(values)))
        for value in values:
            out.write(struct.pack(">i", len(value)) + value)
    out.write(struct.pack(">h", -1))
    out.seek(0)
    return out


def _nearest(
    database: Database, queries: Sequence[Query], how: SearchOptions
) -> list[set[uuid.UUID]]:
    found: list[set[uuid.UUID]] = []
    for tenant, _, domain, vector in queries:
        with database.tenant_transaction(tenant) as cursor:
            near = nearest(cursor, tenant, domain, MODEL, vector, how=how)
        found.append({candidate.id for candidate in near[:TOP]})
    return found


def _recalls(truth: list[set[uuid.UUID]], found: list[set[uuid.UUID]]) -> list[float]:
    return [len(a & b) / len(a) if a else 1.0 for a, b in zip(truth, found, strict=True)]


def _timed(
    database: Database, queries: Sequence[Query], how: SearchOptions, clients: int
) -> list[float]:
    """Return the milliseconds of each consultation, as a session makes it but for the embedding."""

    def ask(query: Query) -> float:
        tenant, _, domain, vector = query
        began = time.perf_counter()
        look_up(database, lambda _: (MODEL, vector), tenant, domain, "A question", how)
        return (time.perf_counter() - began) * 1e3

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(ask, queries))


def _line(params: Line, queries: Sequence[Query], spent: list[float], recalls: list[float]) -> Line:
    by_size: dict[str, list[int]] = defaultdict(list)
    for n, (_, size, _, _) in enumerate(queries):
        by_size[size].append(n)
    groups = {"all": list(range(len(queries))), **by_size}
    sizes = {
        name: {
            "n": len(places),
            "p50_ms": round(float(np.percentile([spent[n] for n in places], 50)), 2),
            "p99_ms": round(float(np.percentile([spent[n] for n in places], 99)), 2),
            "recall_at_10": round(sum(recalls[n] for n in places) / len(places), 4),
        }
        for name, places in groups.items()
    }
    return {
        "bench": "consult_ms",
        "params": params,
        "value": sizes["all"]["p99_ms"],
        "unit": "ms p99",
        "n": len(queries),
        "by_size": sizes,
    }

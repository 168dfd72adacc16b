"""The same work without any orchestration: one query, N calls side by side, two more, one row.

What is left over its 600 ms is what HTTP and Postgres cost on this machine at this moment. It is
not durable, shows nothing and cannot be resumed.
"""

import asyncio
import time
import uuid

import aiohttp

from benchmarks.stack import Bench
from radiant_dagster.adapters import audit


def raw_session_ms(bench: Bench, agents: int) -> float:
    """Return the milliseconds of one session in plain asyncio."""
    return asyncio.run(_session(bench, agents))


async def _session(bench: Bench, agents: int) -> float:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        started = time.perf_counter()
        with bench.database.tenant_transaction(bench.tenant) as cursor:
            cursor.execute("select name from radiant.domain_policy")
        await asyncio.gather(*(_call(http, bench, f"agent {n}") for n in range(agents)))
        await _call(http, bench, "synthesis")
        await _call(http, bench, "librarian")
        with bench.database.tenant_transaction(bench.tenant) as cursor:
            audit.record(cursor, bench.tenant, actor="bench", action="raw", session_id=uuid.uuid4())
        return (time.perf_counter() - started) * 1e3


async def _call(http: aiohttp.ClientSession, bench: Bench, text: str) -> None:
    body = {
        "model": "gpt-4o-mini",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": text}],
    }
    async with http.post(f"{bench.model_url}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        await response.json()

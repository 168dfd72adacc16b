"""Does confidence that outcomes move make later sessions better? The bandit simulation of CLINC150.

A pool of heuristics whose triggers are questions of 150 kinds; three in ten give the advice of
another kind. Each round asks a question and takes what the Grimoire offers: the product's search,
selection and credit, on a Postgres of its own, in one transaction. The outcome is whether the
advice fits the question, told wrongly one time in ten. At the end questions that were never asked
are judged without feedback.

Where one heuristic is used, it is the first that is offered. Where all are, they vote for their
answer by similarity x confidence, and those that advised the answer count as cited. A frozen
Grimoire gets no credit: its confidence stays what it was. Simulated outcomes, kinds standing for
advice, no language model: this measures the mechanism, not a product's gain.
"""

import json
import random
import statistics
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg2
import psycopg2.extras

from benchmarks.suite import Line
from radiant_dagster.adapters import migrations, tenants
from radiant_dagster.adapters.embeddings import MINILM_ID
from radiant_dagster.adapters.grimoire import credit, search
from radiant_dagster.adapters.grimoire.rebuild import differences
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.heuristics import content_sha256, exact_sha256
from radiant_dagster.domain.selection import Offered, select
from radiant_dagster.local.postgres import embedded_postgres

BAD = 0.3  # of the heuristics give advice of another kind
NOISE = 0.1  # of the outcomes are told wrongly
ASKED, HELD_OUT = 1_000, 500  # questions
RETRIEVED = 10  # candidates of a question
FLOOR = 0.0  # every question gets something; what a floor keeps back is measured elsewhere
FILES = ("clinc_pool", "clinc_q")

LOGIN = "create role radiant login noinherit password 'radiant'"
INSERT_HEURISTICS = """
    insert into radiant.knowledge_heuristics (tenant_id, id, domain, trigger_pattern,
        action_template, embedding, embedding_model, state, content_sha256, approved_sha256,
        created_by, expires_at) values %s
"""
# A user each: the cap on one user's credit is a guard against praise of one's own, not of interest.
INSERT_SESSIONS = """
    insert into radiant.session (tenant_id, id, domain, prompt, user_id)
    select %(tenant)s, gen_random_uuid(), 'general', 'benchmark', 'user-' || n
    from generate_series(1, %(count)s) n returning id
"""
INSERT_USAGE = """
    insert into radiant.heuristic_usage
        (tenant_id, session_id, agent_id, heuristic_id, rank, similarity, cited) values %s
"""
Policy = Literal["one", "all"]
Found = dict[str, float]


@dataclass(frozen=True, slots=True)
class Data:
    """Questions with their kind and their vector."""

    pool: list[tuple[str, str, list[float]]]
    questions: list[tuple[str, str, list[float]]]


def missing_data(folder: Path) -> str | None:
    """Return what to do where the questions are not there, None where they are."""
    files = [folder / f"{name}{end}" for name in FILES for end in (".jsonl", ".minilm.f16.npy")]
    if all(path.is_file() for path in files):
        return None
    return f"{folder} lacks {', '.join(path.name for path in files)}; name their folder by --data"


def learning_part(home: Path, folder: Path, seeds: int, rounds: int) -> Iterator[Line]:
    """Run every policy with every seed.

    Args:
        home: Folder of the server.
        folder: Where CLINC150 and its vectors are.
        seeds: How many, from 1.
        rounds: Questions a learning policy is asked.
    """
    data = Data(*(_read(folder, name) for name in FILES))
    params = {
        "pool": len(data.pool), "asked": ASKED, "held_out": HELD_OUT, "rounds": rounds,
        "bad": BAD, "noise": NOISE, "retrieved": RETRIEVED,
    }  # fmt: skip
    found: dict[str, list[Found]] = defaultdict(list)
    with embedded_postgres(home, durable=False) as url, ProcessPoolExecutor() as processes:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(LOGIN)
        connection.close()
        migrations.migrate(url, logins={"radiant": migrations.LOGIN_ROLES})
        work = [
            processes.submit(_simulate, _as_login(url), data, seed, policy, rounds)
            for policy in ("one", "all")
            for seed in range(1, seeds + 1)
        ]
        for done in as_completed(work):
            for name, values in done.result().items():
                found[name].append(values)
    for seeds_of in found.values():
        seeds_of.sort(key=lambda values: values["seed"])
    yield from _summaries(found, params)


def _as_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"radiant:radiant@{parts.hostname}:{parts.port}"))


def _simulate(url: str, data: Data, seed: int, policy: Policy, rounds: int) -> dict[str, Found]:
    """Run one seed in a process of its own, frozen and learning."""
    database = Database(url, pool_size=1)
    begun = time.monotonic()
    try:
        simulation = Simulation(database, data, seed, policy)
        # Frozen first: that changes nothing.
        found = {f"{policy}_frozen": simulation.run(None), policy: simulation.run(rounds)}
    finally:
        database.close()
    print(f"# seed {seed} {found} in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return found


def _read(folder: Path, name: str) -> list[tuple[str, str, list[float]]]:
    vectors = np.load(folder / f"{name}.minilm.f16.npy").astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    items = [json.loads(line) for line in lines]
    return [
        (item["text"], item["label"], vector.tolist())
        for item, vector in zip(items, vectors, strict=True)
    ]


def _summaries(found: dict[str, list[Found]], params: Line) -> Iterator[Line]:
    for name, values in sorted(found.items()):
        more = {key: _mean(values, key) for key in values[0] if key not in ("seed", "held_out")}
        held_out = [item["held_out"] for item in values]
        yield _line(f"learning_{name}_held_out", held_out, params, **more)
    for name in ("one", "all"):
        pairs = zip(found[name], found[f"{name}_frozen"], strict=True)
        gains = [after["held_out"] - before["held_out"] for after, before in pairs]
        yield _line(f"learning_{name}_gain_over_frozen", gains, params)


def _mean(values: Sequence[Found], key: str) -> float:
    return round(statistics.fmean(item[key] for item in values), 4)


def _line(bench: str, values: Sequence[float], params: Line, **more: float) -> Line:
    """Return the mean over seeds with its 95 % interval, by Student's t."""
    from scipy.special import stdtrit

    spread = 0.0
    if len(values) > 1:
        error = statistics.stdev(values) / len(values) ** 0.5
        spread = float(stdtrit(len(values) - 1, 0.975)) * error
    return {
        "bench": bench,
        "params": params,
        "value": round(statistics.fmean(values), 4),
        "unit": "share",
        "n": len(values),
        "plus_minus_95": round(spread, 4),
        "seeds": [round(value, 4) for value in values],
        **more,
    }


class Simulation:
    """One policy, one seed: a tenant of its own."""

    def __init__(self, database: Database, data: Data, seed: int, policy: Policy) -> None:
        self.database, self.seed, self.policy = database, seed, policy
        chance = random.Random(seed)  # the same pool and questions for every policy of a seed
        self.tenant = uuid.uuid4()
        tenants.create_tenant(database, self.tenant, f"t{self.tenant.hex[:20]}", "Benchmark")
        self.advice: dict[uuid.UUID, str] = {}
        self.good: dict[uuid.UUID, bool] = {}
        self._fill(data, chance)
        questions = chance.sample(data.questions, ASKED + HELD_OUT)
        self.asked, self.held_out = questions[:ASKED], questions[ASKED:]
        self.chance = chance

    def _fill(self, data: Data, chance: random.Random) -> None:
        kinds = sorted({kind for _, kind, _ in data.pool})
        rows: list[tuple[Any, ...]] = []
        for text, kind, vector in data.pool:
            heuristic_id = uuid.UUID(int=chance.getrandbits(128))
            good = chance.random() >= BAD
            advice = kind if good else chance.choice([name for name in kinds if name != kind])
            trigger, action = f"The question: {text}", f"Answer it as one of the kind {advice}."
            rows.append((
                self.tenant, heuristic_id, "general", trigger, action, search.halfvec(vector),
                MINILM_ID, "active", content_sha256(trigger, action),
                exact_sha256("do", trigger, action), "import", "2100-01-01",
            ))  # fmt: skip
            self.advice[heuristic_id], self.good[heuristic_id] = advice, good
        with self.database.tenant_transaction(self.tenant) as cursor:
            psycopg2.extras.execute_values(cursor, INSERT_HEURISTICS, rows, page_size=500)

    def run(self, rounds: int | None) -> Found:
        """Ask, learn where there are rounds to learn in, and judge what was never asked."""
        right: list[bool] = []
        if rounds is None:
            right = [self._ask(*question[1:]) for question in self.asked]
        else:
            with self.database.tenant_transaction(self.tenant) as cursor:
                cursor.execute(INSERT_SESSIONS, {"tenant": self.tenant, "count": rounds})
                sessions = [row["id"] for row in cursor.fetchall()]
            for session_id in sessions:
                _, kind, vector = self.chance.choice(self.asked)
                right.append(self._ask(kind, vector, session_id))
        held_out = [self._ask(*question[1:]) for question in self.held_out]
        return {
            "seed": self.seed,
            "first": statistics.fmean(right[:500]),
            "last": statistics.fmean(right[-1000:]),
            "held_out": statistics.fmean(held_out),
            **self._trust(),
        }

    def _ask(self, kind: str, vector: list[float], session_id: uuid.UUID | None = None) -> bool:
        with self.database.tenant_transaction(self.tenant) as cursor:
            candidates = search.nearest(
                cursor, self.tenant, "general", MINILM_ID, vector, limit=RETRIEVED
            )
            if self.policy == "one":
                # The first choice has nothing to differ from. Without vectors it is the same one,
                # and the rest, which nobody looks at, costs nothing.
                offered = select([replace(c, embedding=()) for c in candidates], floor=FLOOR)[:1]
            else:
                offered = select(candidates, floor=FLOOR)
            if not offered:
                return False
            confidence = {item.id: item.confidence for item in candidates}
            answer = self._answer(offered, confidence)
            right = answer == kind
            if session_id is not None:
                told = right != (self.chance.random() < NOISE)
                self._learn(cursor, session_id, offered, answer, told=told)
        return right

    def _answer(self, offered: Sequence[Offered], confidence: dict[uuid.UUID, float]) -> str:
        votes: dict[str, float] = defaultdict(float)
        for item in offered:
            votes[self.advice[item.id]] += item.similarity * confidence[item.id]
        return max(votes, key=lambda advice: (votes[advice], advice))

    def _learn(
        self,
        cursor: Cursor,
        session_id: uuid.UUID,
        offered: Sequence[Offered],
        answer: str,
        *,
        told: bool,
    ) -> None:
        rows = [
            (
                self.tenant, session_id, "a", item.id, item.number, item.similarity,
                self.advice[item.id] == answer,
            )
            for item in offered
        ]  # fmt: skip
        psycopg2.extras.execute_values(cursor, INSERT_USAGE, rows)
        credit.credit_session(cursor, self.tenant, session_id, float(told))

    def _trust(self) -> dict[str, float]:
        """Return the mean confidence of good and of bad advice, and what does not add up."""
        with self.database.tenant_transaction(self.tenant) as cursor:
            cursor.execute(
                "select id, confidence from radiant.knowledge_heuristics where tenant_id = %s",
                (self.tenant,),
            )
            rows = cursor.fetchall()
            unequal = len(differences(cursor, self.tenant))
        by_worth: dict[bool, list[float]] = defaultdict(list)
        for row in rows:
            by_worth[self.good[row["id"]]].append(row["confidence"])
        return {
            "trust_in_good": statistics.fmean(by_worth[True]),
            "trust_in_bad": statistics.fmean(by_worth[False]),
            "not_adding_up": unequal / len(rows),
        }

"""The Grimoire over the API: reading it, and a curator's acts.

An act is bound to the version that was read and carried out once however often it is sent. Who
acts comes from the credential.
"""

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid4

import anyio.to_thread
from starlette.responses import Response

from radiant_dagster.adapters.grimoire import acts, files, finding, purge, queue, reading
from radiant_dagster.adapters.idempotency import Reply
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.adapters.session_view import find_ids
from radiant_dagster.domain.curation import (
    WORDS,
    Act,
    Edit,
    KeepApart,
    Merge,
    Pin,
    Promote,
    Resolve,
    Retire,
    Revoke,
    Rollback,
    Root,
    Unmerge,
)
from radiant_dagster.domain.swarm import require_storable
from radiant_dagster.mission_control.api import (
    Operation,
    answer,
    idempotency_key,
    if_match,
    known_reply,
    once,
    read_body,
    read_query,
    replayed,
    rows,
)
from radiant_dagster.mission_control.guard import Call
from radiant_dagster.wire import grimoire as wire
from radiant_dagster.wire.base import Ids, PrefixQuery, Request

TAG = "Grimoire"
ONE = "/grimoire/{heuristic_id:uuid}"


def heuristic_id(call: Call) -> UUID:
    """Return the id in the path."""
    return call.request.path_params["heuristic_id"]


def heuristics(call: Call) -> Response:
    """Return a page of the Grimoire."""
    query = read_query(call, wire.HeuristicQuery)
    after = Place.parse(query.cursor) if query.cursor else None
    with call.transaction() as cursor:
        found = reading.list_heuristics(
            cursor, call.tenant_id,
            domain=query.domain, state=query.state, q=query.q, limit=query.limit + 1, after=after,
        )  # fmt: skip
    shown = found[: query.limit]
    place = Place(shown[-1]["created_at"], shown[-1]["id"]) if len(found) > query.limit else None
    return answer(
        wire.HeuristicPage(
            heuristics=rows(wire.Heuristic, shown), next_cursor=place.text if place else None
        )
    )


def heuristic(call: Call) -> Response:
    """Return one heuristic with everything about it."""
    with call.transaction() as cursor:
        found = reading.get_everything(cursor, call.tenant_id, heuristic_id(call))
    document = wire.HeuristicDetail.model_validate(found)
    return answer(document, headers={"ETag": document.etag})


def find(call: Call) -> Response:
    """Return the ids that begin with what a person typed."""
    query = read_query(call, PrefixQuery)
    with call.transaction() as cursor:
        found = find_ids(cursor, call.tenant_id, "knowledge_heuristics", query.prefix)
    return answer(Ids(ids=found))


def search(call: Call) -> Response:
    """Return the heuristics nearest in meaning to a text."""
    body = read_body(call, wire.SearchBody)
    services = call.services
    near = finding.by_meaning(
        services.database, call.tenant_id, services.checks.embeddings, body.text,
        domain=body.domain, limit=body.limit,
    )  # fmt: skip
    return answer(wire.Near.model_validate(near))


def waiting(call: Call) -> Response:
    """Return what waits for a curator."""
    query = read_query(call, wire.QueueQuery)
    with call.transaction() as cursor:
        found = queue.waiting(cursor, call.tenant_id, domain=query.domain, limit=query.limit)
    return answer(wire.Queue.model_validate(found))


def _act(call: Call, *, model: type[Request], act: type[Act]) -> Response:
    body = read_body(call, model)
    idempotency_key(call, required=True)  # before anything is embedded for nothing
    version = if_match(call)
    wanted = act(**body.model_dump())
    of = (call.tenant_id, heuristic_id(call))
    ready = acts.prepare(call.services.database, call.services.checks, *of, wanted)

    def run(cursor: Cursor) -> Reply:
        who = call.principal.name
        done = acts.carry_out(cursor, *of, ready, actor=who, if_version=version)
        return Reply(200, asdict(done))

    reply = once(call, body, run)
    done = wire.Curated.model_validate(reply.body)
    headers = {"ETag": f'"v{done.version}"'}
    return answer(done, headers=headers | replayed(reply))


class _Sent(Request):
    """What an import depends on; under the same key it has to be the same."""

    sha256: str
    active: bool


async def import_(call: Call) -> Response:
    """Store heuristics from lines of JSON, all or none."""
    # Beside the other handlers' threads: reviewers would wait for it.
    work = partial(_import, call)
    return await anyio.to_thread.run_sync(work, limiter=call.services.imports)


def _import(call: Call) -> Response:
    text, active = call.lines(), read_query(call, wire.ImportQuery).active
    require_storable("file", text)
    sent = _Sent(sha256=hashlib.sha256(call.body).hexdigest(), active=active)
    # Who lost the connection asks again, perhaps for minutes' worth of checks.
    reply = known_reply(call, sent)
    if reply is None:
        actor = call.principal.name
        ready = files.prepare(
            call.services.database, call.tenant_id, text, call.services.checks,
            actor=actor, active=active, progress=lambda _done, _of: None,
        )  # fmt: skip

        def run(cursor: Cursor) -> Reply:
            done = files.store(
                cursor, call.tenant_id, ready, actor=actor, now=datetime.now(UTC), new_id=uuid4
            )
            return Reply(200, asdict(done))

        reply = once(call, sent, run)
    return answer(wire.Imported.model_validate(reply.body), headers=replayed(reply))


def retire_derived(call: Call) -> Response:
    """List, or retire, what was derived from something."""
    body = read_body(call, wire.PurgeBody)
    root = Root(body.kind, body.value)
    if body.dry_run:
        with call.transaction() as cursor:
            found = purge.find_derived(cursor, call.tenant_id, root)
        return answer(wire.Purged(dry_run=True, heuristics=rows(wire.Related, found)))

    def run(cursor: Cursor) -> Reply:
        retired = purge.retire_derived(cursor, call.tenant_id, root, actor=call.principal.name)
        return Reply(200, {"ids": [row["id"] for row in retired]})

    reply = once(call, body, run)
    with call.transaction() as cursor:  # replies keep ids only
        found = [
            reading.get_heuristic(cursor, call.tenant_id, UUID(str(item)))
            for item in reply.body["ids"]
        ]
    done = wire.Purged(dry_run=False, heuristics=rows(wire.Related, found))
    return answer(done, headers=replayed(reply))


BODIES: tuple[tuple[type[Act], type[Request], str], ...] = (
    (Promote, wire.PromoteBody, "Let agents use a candidate."),
    (Retire, wire.RetireBody, "Take it out of use; the lesson may be learned again."),
    (Revoke, wire.RevokeBody, "Declare it wrong, whatever state it is in."),
    (Edit, wire.EditBody, "Give it another text, as a new version."),
    (Rollback, wire.RollbackBody, "Bring an earlier text back, as a new version."),
    (Pin, wire.PinBody, "Keep it whatever time and numbers say, or end that."),
    (Merge, wire.MergeBody, "Fold it into another one, whose text stays."),
    (Unmerge, wire.UnmergeBody, "Undo a merge."),
    (KeepApart, wire.KeepApartBody, "Say that two near copies are two lessons."),
    (Resolve, wire.ResolveBody, "Settle a conflict; what is not kept is retired."),
)


def _operation(act: type[Act], model: type[Request], summary: str) -> Operation:
    word = WORDS[act]

    def handler(call: Call) -> Response:
        return _act(call, model=model, act=act)

    handler.__name__ = word.replace("-", "_")
    return Operation(
        "POST", f"{ONE}/{word}", "grimoire.curate", handler, TAG, summary,
        {200: wire.Curated}, body=model, headers=("Idempotency-Key", "If-Match"),
        required=("Idempotency-Key", "If-Match"), problems=(404, 409, 428),
    )  # fmt: skip


OPERATIONS = (
    Operation(
        "GET", "/grimoire", "grimoire.read", heuristics, TAG,
        "List heuristics, the newest first.",
        {200: wire.HeuristicPage}, query=wire.HeuristicQuery,
    ),
    Operation(
        "GET", "/grimoire/ids", "grimoire.read", find, TAG,
        "Find ids by their first characters.", {200: Ids}, query=PrefixQuery,
    ),
    Operation(
        "GET", "/grimoire/queue", "grimoire.curate", waiting, TAG,
        "List what waits for a curator, the most pressing first.",
        {200: wire.Queue}, query=wire.QueueQuery,
    ),
    Operation(
        "POST", "/grimoire/search", "grimoire.read", search, TAG,
        "Find active and quarantined heuristics by meaning, nearest first. Stores nothing.",
        {200: wire.Near}, body=wire.SearchBody,
    ),
    Operation(
        "GET", ONE, "grimoire.read", heuristic, TAG,
        "Return a heuristic with its versions, links, evidence and use.",
        {200: wire.HeuristicDetail}, problems=(404,),
    ),
    *(_operation(*item) for item in BODIES),
    Operation(
        "POST", "/grimoire/import", "grimoire.curate", import_, TAG,
        "Store heuristics as candidates, or active at once on the curator's word: all lines, or "
        "none. Takes up to 10,000; thousands take minutes.",
        {200: wire.Imported}, query=wire.ImportQuery, max_body_bytes=wire.MAX_IMPORT_BYTES,
        lines="a heuristic with `polarity` (do, avoid), `domain`, `trigger_pattern` and "
        "`action_template`; whatever else `radiant grimoire export` writes is ignored",
        headers=("Idempotency-Key",), required=("Idempotency-Key",),
    ),
    Operation(
        "POST", "/grimoire/purge", "grimoire.curate", retire_derived, TAG,
        "Retire everything that was derived from a session, a user or a heuristic; lists it only, "
        "unless dry_run is false.",
        {200: wire.Purged}, body=wire.PurgeBody, headers=("Idempotency-Key",),
    ),
)  # fmt: skip

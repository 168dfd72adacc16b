"""The Grimoire for curators: what waits, what was learned, one heuristic and the acts on it.

Works without scripts: every act is a form, every preview a page. A refusal brings the page back
with the reason's status and everything that was typed.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.grimoire import acts, finding, purge, queue, reading
from radiant_dagster.adapters.paging import Place
from radiant_dagster.domain.curation import (
    REASONS,
    WORDS,
    Act,
    Edit,
    Keep,
    KeepApart,
    Merge,
    Pin,
    Promote,
    Reason,
    Resolve,
    Retire,
    Revoke,
    Rollback,
    Root,
    RootKind,
    Unmerge,
)
from radiant_dagster.errors import InvalidInput, RadiantError
from radiant_dagster.mission_control.guard import Call, Endpoint
from radiant_dagster.mission_control.problems import Problem, problem_of
from radiant_dagster.mission_control.words import HEURISTIC_STATES

PAGE_ROWS = 50
QUEUE_ROWS = 20
NEAR_ROWS = 20
MAX_FORM_VERSION = 9  # digits
BASE = "/grimoire/{heuristic_id:uuid}"
Form = Mapping[str, str]
NOTHING_TYPED: Form = {"trigger_pattern": "", "action_template": "", "reason": "", "into": ""}
LABELS: Mapping[str, str] = {
    "trigger_pattern": "When",
    "action_template": "What to do or to avoid",
    "reason": "Why",
    "into": "Id of the one that stays",
    "other": "The other one",
    "to_version": "Version",
    "heuristic": "This one",
}
SAID: Mapping[str, str] = {
    "promote": "Agents get it from now on.",
    "retire": "Retired. No agent gets it any more.",
    "revoke": "Revoked. No agent gets it any more.",
    "edit": "The new text is stored as a new version.",
    "rollback": "The old text is back, as a new version.",
    "pin": "Recorded.",
    "merge": "Merged. Its evidence counts for the other one.",
    "unmerge": "Taken out of the merge again.",
    "keep-apart": "Kept apart.",
    "resolve": "The conflict is resolved.",
}


def show_list(call: Call) -> Response:
    """Show what waits, and the heuristics that fit the filters."""
    query = call.request.query_params
    state = query.get("state", "") if query.get("state") in HEURISTIC_STATES else ""
    domain, q, place = query.get("domain", ""), query.get("q", "")[:200], query.get("cursor")
    curates = call.principal.may("grimoire.curate")
    with call.transaction() as cursor:
        found = reading.list_heuristics(
            cursor, call.tenant_id,
            domain=domain or None, state=state or None, q=q.replace("\x00", "") or None,
            limit=PAGE_ROWS + 1, after=Place.parse(place) if place else None,
        )  # fmt: skip
        waiting = queue.waiting(
            cursor, call.tenant_id, domain=domain or None, limit=QUEUE_ROWS
        )  # fmt: skip
        domains = sorted(tenants.domain_policies(cursor, call.tenant_id))
    shown = found[:PAGE_ROWS]
    counts = [*map(len, (waiting.conflicts, waiting.near_copies, waiting.candidates,
                         waiting.lapsing))]  # fmt: skip
    asked = {name: text for name, text in (("state", state), ("domain", domain), ("q", q)) if text}
    following = None
    if len(found) > PAGE_ROWS:
        after = Place(shown[-1]["created_at"], shown[-1]["id"])
        following = urlencode({**asked, "cursor": after.text})
    return call.page(
        "grimoire.html",
        here="grimoire",
        rows=shown,
        waiting=waiting if curates and not place else None,
        number=sum(counts),
        more="+" if QUEUE_ROWS in counts else "",
        most=QUEUE_ROWS,
        states=HEURISTIC_STATES,
        domains=domains,
        chosen=state,
        domain=domain,
        q=q,
        following=following,
        near=None,
        problem=None,
    )


def search(call: Call) -> Response:
    """Show the heuristics nearest in meaning to a text, which stays out of the address."""
    form, services = call.form(), call.services
    text, domain = form.get("q", ""), form.get("domain", "")
    near, problem = None, None
    try:
        near = finding.by_meaning(
            services.database, call.tenant_id, services.checks.embeddings, text,
            domain=domain or None, limit=NEAR_ROWS,
        )  # fmt: skip
    except RadiantError as error:
        problem = problem_of(error)
        if problem.status >= 500:
            raise
    with call.transaction() as cursor:
        domains = sorted(tenants.domain_policies(cursor, call.tenant_id))
    return call.page(
        "grimoire.html",
        problem.status if problem else 200,
        here="grimoire",
        rows=(),
        waiting=None,
        number=0,
        states=HEURISTIC_STATES,
        domains=domains,
        chosen="",
        domain=domain,
        q=text,
        following=None,
        near=near.heuristics if near else (),
        problem=problem,
    )


def _id(call: Call) -> UUID:
    return call.request.path_params["heuristic_id"]


def show_one(call: Call) -> Response:
    """Show a heuristic with everything that a curator decides by."""
    return _page(call, said=SAID.get(call.request.query_params.get("said", ""), ""))


def _page(
    call: Call, *, problem: Problem | None = None, typed: Form | None = None, said: str = ""
) -> Response:
    with call.transaction() as cursor:
        row = reading.get_everything(cursor, call.tenant_id, _id(call))
    return call.page(
        "heuristic.html",
        problem.status if problem else 200,
        here="grimoire",
        row=row,
        problem=problem,
        typed={**NOTHING_TYPED, **(typed or {})},
        said=said,
        reasons=REASONS,
        may_curate=call.principal.may("grimoire.curate"),
        may_session=call.principal.may("sessions.read"),
    )


def _plain(form: Form, name: str) -> str:
    """Return a form's text; browsers send every line end as two characters."""
    return form.get(name, "").replace("\r\n", "\n")


def _reason(form: Form) -> Reason:
    found: list[Reason] = [reason for reason in REASONS if reason == form.get("reason")]
    if not found:
        raise InvalidInput("reason", "is missing", "Choose one of the list.")
    return found[0]


def _other(form: Form, name: str) -> UUID:
    try:
        return UUID(form.get(name, "").strip())
    except ValueError:
        raise InvalidInput(name, "is not an id", "Copy it from the other one's page.") from None


def _number(form: Form, name: str) -> int:
    text = form.get(name, "")
    if not text.isascii() or not text.isdecimal() or len(text) > MAX_FORM_VERSION:
        raise InvalidInput(name, "is no number", "Reload the page.")
    return int(text)


def _resolve(form: Form) -> Act:
    keep: list[Keep] = [keep for keep in get_args(Keep) if keep == form.get("keep")]
    if not keep:
        raise InvalidInput("keep", "is missing", "Use the page's buttons.")
    return Resolve(_other(form, "other"), keep[0])


READERS: Mapping[type[Act], Callable[[Form], Act]] = {
    Promote: lambda _: Promote(),
    Retire: lambda form: Retire(_reason(form)),
    Revoke: lambda form: Revoke(_reason(form)),
    Edit: lambda form: Edit(
        _plain(form, "trigger_pattern"), _plain(form, "action_template"), _plain(form, "reason")
    ),
    Rollback: lambda form: Rollback(_number(form, "to_version"), _plain(form, "reason")),
    Pin: lambda form: Pin(pinned=form.get("pinned") == "yes"),
    Merge: lambda form: Merge(_other(form, "into")),
    Unmerge: lambda _: Unmerge(),
    KeepApart: lambda form: KeepApart(_other(form, "other")),
    Resolve: _resolve,
}


def _as_labelled(error: RadiantError) -> RadiantError:
    """Return a refusal that names the field as the form does."""
    if isinstance(error, InvalidInput) and error.field in LABELS:
        return InvalidInput(LABELS[error.field], error.problem, error.fix)
    return error


def _doing(act: type[Act]) -> Endpoint:
    word = WORDS[act]

    def handler(call: Call) -> Response:
        form = call.form()
        try:
            acts.act_now(
                call.services.database,
                call.services.checks,
                call.tenant_id,
                _id(call),
                READERS[act](form),
                actor=call.principal.name,
                if_version=_number(form, "version"),
            )
        except RadiantError as error:
            problem = problem_of(_as_labelled(error))
            if problem.status >= 500 or problem.status == 404:
                raise
            return _page(call, problem=problem, typed=form)
        return RedirectResponse(f"/grimoire/{_id(call)}?said={word}", 303)

    return Endpoint("POST", f"{BASE}/{word}", "grimoire.curate", handler, kind="page")


def _root(given: Mapping[str, str]) -> Root:
    kind: list[RootKind] = [kind for kind in get_args(RootKind) if kind == given.get("kind")]
    if not kind:
        raise InvalidInput("kind", "is missing", "Choose a session, a user or a heuristic.")
    value = given.get("value", "").strip()
    if "\x00" in value:
        raise InvalidInput("value", "has a hidden character", "Type it anew.")
    return Root(kind[0], value)


def show_purge(call: Call) -> Response:
    """List what was derived from something, before anything is done."""
    query = call.request.query_params
    if not query.get("value"):
        return _purge_page(call, None, ())
    root = _root(query)
    try:
        with call.transaction() as cursor:
            found = purge.find_derived(cursor, call.tenant_id, root)
    except InvalidInput as error:
        wrong = InvalidInput("Id", error.problem, "Copy it from the page of what you mean.")
        return _purge_page(call, root, (), problem=problem_of(wrong))
    return _purge_page(call, root, found)


def _purge_page(
    call: Call,
    root: Root | None,
    found: Any,
    *,
    done: bool = False,
    problem: Problem | None = None,
) -> Response:
    return call.page(
        "purge.html",
        problem.status if problem else 200,
        here="grimoire",
        root=root,
        found=found,
        done=done,
        problem=problem,
    )


def do_purge(call: Call) -> Response:
    """Retire what the preview listed, and what was derived since."""
    root = _root(call.form())
    with call.transaction() as cursor:
        found = purge.retire_derived(cursor, call.tenant_id, root, actor=call.principal.name)
    return _purge_page(call, root, found, done=True)


ENDPOINTS = (
    Endpoint("GET", "/grimoire", "grimoire.read", show_list, kind="page"),
    Endpoint("POST", "/grimoire/search", "grimoire.read", search, kind="page"),
    Endpoint("GET", "/grimoire/purge", "grimoire.curate", show_purge, kind="page"),
    Endpoint("POST", "/grimoire/purge", "grimoire.curate", do_purge, kind="page"),
    Endpoint("GET", BASE, "grimoire.read", show_one, kind="page"),
    *(_doing(act) for act in WORDS),
)

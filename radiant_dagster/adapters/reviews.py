"""Puts a draft in front of a reviewer: scrub the whole bundle, then store the request.

Scrubbing fails closed. Where the detector is missing or breaks, the request is stored with
nothing to read (`withheld`), so that no raw text reaches a reviewer and the session still ends.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import agent_runs, approval_requests, approvals, sessions, tool_calls
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.approvals import answers_text
from radiant_dagster.domain.phi import Detector, scrub_bundle

MOST_TOOL_CALLS = 100  # shown to a reviewer; a swarm of 64 could make more than anybody reads


def scrubbed_review(
    detector: Detector,
    session: Mapping[str, Any],
    agents: Sequence[Mapping[str, Any]],
    draft: str,
    calls: Sequence[Mapping[str, Any]] = (),
) -> tuple[dict[str, Any], bool]:
    """Return what a reviewer may read, and whether it had to be withheld.

    Args:
        detector: Finds identifiers.
        session: The session's row.
        agents: Its agents' rows.
        draft: The text under review, empty where only the answers are reviewed.
        calls: What the agents had tools do; the newest 100 are shown.

    Returns:
        The review document (prompt, draft, its claims and dissent, answers by agent, tool calls,
        titles of the heuristics that were offered, facts) and the withheld flag.
    """
    details: Mapping[str, Any] = session["draft_details"] or {} if draft else {}
    claims: Sequence[Mapping[str, Any]] = details.get("claims", [])
    dissent: Sequence[str] = details.get("dissent", [])
    facts: dict[str, Any] = {
        "swarm_status": session["swarm_status"],
        "missing_agents": session["missing_agents"],
        "downgrades": session["downgrades"],
        "cato_verdict": session["cato_verdict"],
        "cato_reasons": list(session["cato_reasons"]),
        "offline_demo": session["offline_demo"],
        "agreement": details.get("agreement"),
        "not_synthesised": details.get("not_synthesised", False),
        "cut": details.get("cut", []),
        "agents": [
            {"agent_id": row["agent_id"], "role": row["role"], "status": row["status"]}
            for row in agents
        ],
    }
    fields = {"prompt": session["prompt"], "draft": draft}
    fields |= {
        f"answer:{row['agent_id']}": row["response"]
        for row in agents
        if row["status"] == "success" and row["response"]
    }
    fields |= {f"claim:{n}": claim["text"] for n, claim in enumerate(claims)}
    fields |= {f"dissent:{n}": text for n, text in enumerate(dissent)}
    shown = calls[-MOST_TOOL_CALLS:]
    for n, call in enumerate(shown):
        fields[f"arguments:{n}"] = json.dumps(call["arguments"], ensure_ascii=False)
        fields[f"output:{n}"] = call["output"]
        fields[f"tool:{n}"] = call["name"]  # a model wrote it, so it may hold anything
    used: Sequence[Mapping[str, Any]] = session["heuristics"]
    fields |= {f"heuristic:{n}": item["trigger_pattern"] for n, item in enumerate(used)}
    try:
        bundle = scrub_bundle(fields, detector)
    except Exception as error:  # noqa: BLE001 - any fault of a detector means: show nothing
        return {**facts, "withheld_because": type(error).__name__}, True
    answers = {
        key.removeprefix("answer:"): text
        for key, text in bundle.fields.items()
        if key.startswith("answer:")
    }
    return {
        **facts,
        "prompt": bundle.fields["prompt"],
        "draft": bundle.fields["draft"],
        "claims": [
            {"text": bundle.fields[f"claim:{n}"], "agents": claim["agents"]}
            for n, claim in enumerate(claims)
        ],
        "dissent": [bundle.fields[f"dissent:{n}"] for n in range(len(dissent))],
        "answers": answers,
        "tool_calls": [
            {
                "agent_id": call["agent_id"],
                "name": bundle.fields[f"tool:{n}"],
                "status": call["status"],
                "flags": list(call["flags"]),
                "output_cut": call["output_cut"],
                "arguments": bundle.fields[f"arguments:{n}"],
                "output": bundle.fields[f"output:{n}"],
            }
            for n, call in enumerate(shown)
        ],
        "heuristics": [
            {
                "id": item["id"],
                "polarity": item["polarity"],
                "title": bundle.fields[f"heuristic:{n}"],
            }
            for n, item in enumerate(used)
        ],
        "scrubbed": dict(bundle.counts),
    }, False


def submit(
    cursor: Cursor,
    tenant_id: UUID,
    approval_id: UUID,
    session: Mapping[str, Any],
    detector: Detector,
    *,
    draft: str,
    reasons: Sequence[str],
    attempt: int,
) -> tuple[UUID, bool]:
    """Store an approval request and move the session to `awaiting_review`.

    Args:
        approval_id: Used where this attempt has no request yet.
        attempt: 1 for the first draft; a repeat of the same attempt changes nothing.

    Returns:
        The request's id and whether its text is withheld.
    """
    agents = agent_runs.agent_rows(cursor, tenant_id, session["id"])
    calls = tool_calls.of_session(cursor, tenant_id, session["id"])
    review, withheld = scrubbed_review(detector, session, agents, draft, calls)
    stored = approval_requests.request_approval(
        cursor,
        tenant_id,
        approval_id,
        session,
        attempt=attempt,
        payload=draft or answers_text(agents),
        review_stage="draft" if draft else "answers",
        review=review,
        withheld=withheld,
        reasons=reasons,
    )
    if stored != approval_id:  # a repeat: what reviewers see is what was stored at first
        standing = approvals.get_approval(cursor, tenant_id, stored)
        withheld = bool(standing["withheld"])
        if standing["state"] != "pending":  # decided meanwhile: the session is its decision's now
            return stored, withheld
    sessions.advance(cursor, tenant_id, session["id"], "awaiting_review")
    return stored, withheld

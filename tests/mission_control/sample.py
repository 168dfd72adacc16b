"""Synthetic reviews, as a small clinic's think tank would ask for them. Nobody in here exists."""

import random
import uuid
from datetime import timedelta
from typing import Any

from radiant_dagster.adapters import approval_requests
from radiant_dagster.domain.approvals import payload_hash
from tests.adapters.rows import insert, insert_session

AGENTS = ("analyst", "domain_expert", "skeptic", "pragmatist", "safety_reviewer")
QUESTIONS = (
    ("medical", "May [PERSON_1], 71, take ibuprofen beside lisinopril with a creatinine of 1.6?"),
    ("medical", "How do we keep the vaccine fridge within range through a six hour power cut?"),
    ("legal", "Can the ward share the discharge letter of [PERSON_1] with their insurer?"),
    ("financial", "Is leasing the second ultrasound cheaper than buying it over five years?"),
    ("general", "Which three things should the new night shift checklist begin with?"),
    ("medical", "Does [PERSON_1] need a dose adjustment after the result of [DATE_1]?"),
)  # fmt: skip
DRAFT = (
    "No, not without a check first. [PERSON_1] takes lisinopril and the last creatinine of "
    "[DATE_1] was 1.6 mg/dL. An anti-inflammatory on top can lower kidney function further "
    "within days.\n\nInstead:\n1. Paracetamol up to 3 g a day for the pain.\n2. Repeat creatinine "
    "and potassium within one week.\n3. If an anti-inflammatory cannot be avoided, the shortest "
    "course, and blood pressure daily.\n\nAsk [PERSON_2] at [PHONE_1] before any change of the "
    "blood pressure tablets."
)
ANSWERS = {
    "analyst": "Avoid it. ACE inhibitor, age and a creatinine of 1.6 are three risks at once.",
    "domain_expert": "Contraindicated in practice. Paracetamol first, topical diclofenac second; "
    "kidney values again within one week.",
    "skeptic": "A single value of [DATE_1] says little. Three days of ibuprofen may be acceptable "
    "with a repeat measurement. The draft overstates the certainty.",
    "pragmatist": "Paracetamol is at hand and does the job. Call [PERSON_2] and be done.",
}
SECRET_PERSON = "Johanna Albrecht"


def review(prompt: str, number: int) -> dict[str, Any]:
    """Return a review document as `reviews.scrubbed_review` makes it."""
    failed = number % 4 == 1
    agents = [
        {
            "agent_id": name,
            "role": name.replace("_", " "),
            "status": "timeout" if failed and name == "safety_reviewer" else "success",
        }
        for name in AGENTS
    ]
    answers = dict(ANSWERS)
    if not failed:
        answers["safety_reviewer"] = "Nothing in the draft is unsafe if kidney values are repeated."
    return {
        "prompt": prompt,
        "draft": DRAFT,
        "answers": answers,
        "agents": agents,
        "swarm_status": "degraded" if failed else "complete",
        "missing_agents": {"safety_reviewer": "timeout"} if failed else {},
        "downgrades": [],
        "cato_verdict": "review",
        "cato_reasons": ["dose_mentioned"],
        "offline_demo": False,
        "agreement": "low" if number % 3 == 0 else "high",
        "not_synthesised": False,
        "cut": [],
        "claims": [
            {
                "text": "An anti-inflammatory beside an ACE inhibitor can harm the kidneys.",
                "agents": ["analyst", "domain_expert", "pragmatist"],
            },
            {"text": "Creatinine is to be repeated within one week.", "agents": ["domain_expert"]},
        ],
        "dissent": ["The skeptic would allow three days with a repeat measurement."],
        "heuristics": [
            {"id": "h1", "polarity": "do", "title": "Dose questions with a kidney value"},
            {"id": "h2", "polarity": "avoid", "title": "Advice on pain without a maximum dose"},
        ],
        "tool_calls": [
            {
                "agent_id": "analyst",
                "name": "calculator",
                "status": "ok",
                "flags": [],
                "output_cut": False,
                "arguments": '{"expression": "(140-71)*70/(72*1.6)"}',
                "output": "41.9",
            }
        ],
        "scrubbed": {"PERSON": 2, "DATE": 1, "PHONE": 1},
    }


def ask(cursor: Any, tenant_id: uuid.UUID, number: int = 0, **changes: Any) -> uuid.UUID:
    """Store one pending request; `changes` are of the review document."""
    domain, prompt = QUESTIONS[number % len(QUESTIONS)]
    asker = ("ann", "ward-3", "dr-ortiz")[number % 3]
    session_id = insert_session(
        cursor,
        tenant_id,
        status="awaiting_review",
        domain=domain,
        user_id=asker,
        prompt=f"{SECRET_PERSON}: {prompt}",
        dagster_run_id=str(uuid.UUID(int=number + 1)),
        cost_micro_usd=12_300 + 7_100 * number,
    )
    for position, name in enumerate(AGENTS):
        insert(
            cursor, "agent_run", tenant_id=tenant_id, session_id=session_id, agent_id=name,
            position=position, role=name.replace("_", " "), model="gpt-4o-mini", temperature=0.4,
            max_tokens=900, status="success", response=f"{SECRET_PERSON}: yes.",
            latency_ms=2100 + 340 * position, completion_tokens=220, cost_micro_usd=2_400,
        )  # fmt: skip
    session = {"id": session_id, "domain": domain, "user_id": asker}
    found = {**review(prompt, number), **changes}
    reasons = [["domain_policy"], ["cato_review", "swarm_degraded"], ["low_agreement"]][number % 3]
    return approval_requests.request_approval(
        cursor,
        tenant_id,
        uuid.uuid4(),
        session,
        attempt=1,
        payload=f"{SECRET_PERSON}: {DRAFT}",
        review_stage="draft",
        review=found,
        withheld=False,
        reasons=reasons,
    )


PAYLOAD = payload_hash(f"{SECRET_PERSON}: {DRAFT}")
# A request of a given age: its deadline stays where the share of the time says.
AGE = """
    update radiant.approval_request
    set created_at = clock_timestamp() - %(age)s, deadline = clock_timestamp() + %(left)s
    where tenant_id = %(tenant)s and id = %(id)s
"""
DECIDE = """
    insert into radiant.approval_vote (tenant_id, approval_id, actor, verdict, payload_sha256, at)
    select tenant_id, id, %(actor)s, %(verdict)s, payload_sha256, created_at + %(took)s
    from radiant.approval_request
    where tenant_id = %(tenant)s and id = %(id)s and %(verdict)s <> 'expired';
    insert into radiant.approval_decision (tenant_id, approval_id, session_id, verdict, decided_by,
        decided_at)
    select tenant_id, id, session_id, %(verdict)s, array[%(actor)s], created_at + %(took)s
    from radiant.approval_request where tenant_id = %(tenant)s and id = %(id)s;
    update radiant.approval_request set state = %(verdict)s
    where tenant_id = %(tenant)s and id = %(id)s;
    update radiant.session s
    set status = case when %(verdict)s in ('rejected', 'expired') then %(verdict)s
                      else 'completed' end,
        final_response = 'Paracetamol up to 3 g a day.', created_at = r.created_at,
        answered_at = r.created_at + %(took)s, ended_at = r.created_at + %(took)s
    from radiant.approval_request r
    where r.tenant_id = %(tenant)s and r.id = %(id)s and s.tenant_id = r.tenant_id
      and s.id = r.session_id;
"""


def fill(cursor: Any, tenant_id: uuid.UUID, *, pending: int = 40, decided: int = 120) -> None:
    """Give a tenant what a busy month leaves behind, written by the database's owner."""
    chance = random.Random(7)
    for number in range(pending):
        approval_id = ask(cursor, tenant_id, number)
        share = (number + 1) / pending
        whole = timedelta(hours=4)
        times = {"age": whole * (1 - share), "left": whole * share * 0.97}
        cursor.execute(AGE, {**times, "tenant": tenant_id, "id": approval_id})
        if number in (2, 5, 11):
            cursor.execute(
                "update radiant.approval_request set claimed_by = %s,"
                " claim_expires = clock_timestamp() + interval '2 hours' where id = %s",
                (("dr-wu", "dr-lee", "dr-wu")[number % 3], approval_id),
            )
    verdicts = ["approved"] * 7 + ["modified"] * 2 + ["rejected"] + ["expired"]
    for number in range(decided):
        approval_id = ask(cursor, tenant_id, number)
        verdict = chance.choice(verdicts)
        took = timedelta(hours=4) if verdict == "expired" else timedelta(
            seconds=int(chance.lognormvariate(6.2, 0.8))
        )  # fmt: skip
        age = timedelta(days=chance.random() * 29, hours=5)
        values = {"tenant": tenant_id, "id": approval_id, "verdict": verdict, "took": took}
        cursor.execute(AGE, {**values, "age": age, "left": timedelta(hours=4) - age})
        person = chance.choice(["dr-lee", "dr-wu", "dr-okafor"])
        actor = "system:deadline" if verdict == "expired" else person
        cursor.execute(DECIDE, {**values, "actor": actor})

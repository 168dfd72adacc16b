"""What a session is: its request, its life cycle and its result.

    created -> running -> synthesised -> awaiting_review -> concluding -> completed | rejected
                  |            '-(no approval needed)------^     |        | expired
                  '-> failed                                     '-> failed   any -> cancelled

The diagram is the table ALLOWED below; adapters refuse every other change of status. This module
calls neither clock nor database.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.domain.swarm import AgentConfig, require_storable, validate_agents
from radiant_dagster.domain.wording import counted
from radiant_dagster.errors import InvalidInput

SessionStatus = Literal[
    "created",
    "running",
    "synthesised",
    "awaiting_review",
    "concluding",
    "completed",
    "rejected",
    "expired",
    "failed",
    "cancelled",
]
TERMINAL: frozenset[str] = frozenset({"completed", "rejected", "expired", "failed", "cancelled"})

# Where each status may be entered from. A retried or re-executed step may enter its status again,
# and every status may be entered from `failed`, because re-execution from failure goes on there.
ALLOWED: Mapping[str, frozenset[str]] = {
    "running": frozenset({"created", "running", "failed"}),
    "synthesised": frozenset({"running", "synthesised", "failed"}),
    "awaiting_review": frozenset({"synthesised", "awaiting_review", "concluding", "failed"}),
    "concluding": frozenset({"synthesised", "awaiting_review", "concluding", "failed"}),
    "completed": frozenset({"concluding", "completed", "failed"}),
    "rejected": frozenset({"concluding", "rejected", "failed"}),
    "expired": frozenset({"concluding", "expired", "failed"}),
    "failed": frozenset({"created", "running", "synthesised", "concluding", "failed"}),
    "cancelled": frozenset(
        {"created", "running", "synthesised", "awaiting_review", "concluding", "cancelled"}
    ),
}

# How a scrubbed identifier looks in a reviewer's text, e.g. [PERSON_1].
PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*_\d+\]")

MAX_PROMPT_CHARACTERS = 32_000  # about 8k tokens: leaves room for answers in a 32k context
MAX_CONTEXT_CHARACTERS = 200_000
MAX_SYSTEM_PROMPT_CHARACTERS = 8_000
MAX_USER_ID_CHARACTERS = 200
MAX_PARENT_CHARACTERS = 20_000  # of the answer that a follow-up begins from


@dataclass(frozen=True, slots=True)
class DomainPolicy:
    """How one tenant treats one domain of questions.

    Args:
        name: The domain, for instance ``medical``.
        approval_required: A person must decide before anybody gets the answer.
        deadline_seconds: How long the reviewer has.
        swarm_seconds: How long the agents have together.
        on_timeout: ``reject`` or ``escalate`` (once, to role senior).
        review_stage: ``draft`` (synthesise, then review) or ``answers``.
        similarity_floor_raise: Added to the embedding model's floor in careful domains.
        auto_promote: Whether candidates may become active without a curator.
        lowest_max_tokens: Where the budget is short, answers are never capped below this.
        lowest_agents: Likewise, never fewer agents are asked.
        cheaper_models: Likewise, whether an agent's model may be replaced by a cheaper one.
    """

    name: str
    approval_required: bool
    deadline_seconds: int
    swarm_seconds: int
    on_timeout: Literal["reject", "escalate"]
    review_stage: Literal["draft", "answers"]
    similarity_floor_raise: float
    auto_promote: bool
    lowest_max_tokens: int = 256
    lowest_agents: int = 2
    cheaper_models: bool = True

    @property
    def may_be_routed(self) -> bool:
        """Whether a simple question may get less than was asked without a need to save."""
        return self.cheaper_models and not self.approval_required

    def drafts_before_review(self, *, requested: bool) -> bool:
        """Tell whether the draft is written before anybody looks."""
        reviewed_for_sure = self.approval_required or requested
        return self.review_stage == "draft" or not reviewed_for_sure


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a caller asks for, before anything is stored.

    Args:
        prompt: The question, at most 32,000 characters.
        domain: Name of a domain policy of the tenant.
        user_id: Who asks; never the reviewer of the same session.
        agents: The swarm; one to 64 agents with unique ids.
        require_approval: Ask a person even where the domain does not.
        context: Documents the agents may use, at most 200,000 characters in all.
        system_prompt: Extra instructions from the caller.
        panel: The stored panel that the agents are, None where the caller spelled them out.
        parent_session_id: The session that this one follows; its answer is in the context.
    """

    prompt: str
    domain: str
    user_id: str
    agents: tuple[AgentConfig, ...]
    require_approval: bool = False
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    system_prompt: str | None = None
    panel: str | None = None
    parent_session_id: UUID | None = None


def with_parent_answer(
    context: Mapping[str, Any], parent_session_id: UUID, answer: str
) -> dict[str, Any]:
    """Return the documents of a follow-up: the caller's, and the answer that it follows.

    Args:
        context: The caller's documents.
        parent_session_id: Whose answer it is; part of the document's name.
        answer: As it was released; its end is cut off where it is too long, and said so.
    """
    text = answer
    if len(answer) > MAX_PARENT_CHARACTERS:
        text = f"{answer[:MAX_PARENT_CHARACTERS]}\n[cut off here]"
    return {**context, f"answer of the session before, {parent_session_id}": text}


def validate_request(
    request: SessionRequest, *, domains: frozenset[str], known_tools: frozenset[str]
) -> None:
    """Refuse a request that could not run.

    Args:
        request: What the caller asked for.
        domains: Names of the tenant's domain policies.
        known_tools: Names of the tools that are installed and that the tenant may use.

    Raises:
        InvalidInput: Names the first field that is wrong and the fix.
    """
    if not request.prompt.strip():
        raise InvalidInput("prompt", "is empty", "Pass the question to think about.")
    if len(request.prompt) > MAX_PROMPT_CHARACTERS:
        raise InvalidInput(
            "prompt",
            f"has {len(request.prompt):,} characters, at most {MAX_PROMPT_CHARACTERS:,} are read",
            "Shorten it, or pass documents with --context FILE.",
        )
    require_storable("prompt", request.prompt)
    if request.domain not in domains:
        raise InvalidInput(
            "domain",
            f"this tenant has no domain {request.domain!r}",
            f"Use one of: {', '.join(sorted(domains))}.",
        )
    _validate_context(request.context)
    require_storable("system_prompt", request.system_prompt or "")
    if len(request.system_prompt or "") > MAX_SYSTEM_PROMPT_CHARACTERS:
        raise InvalidInput(
            "system_prompt",
            f"is longer than {MAX_SYSTEM_PROMPT_CHARACTERS:,} characters",
            "Shorten it.",
        )
    if not request.user_id.strip():
        raise InvalidInput("user_id", "is empty", "Name the person or program that asks.")
    if len(request.user_id) > MAX_USER_ID_CHARACTERS:
        raise InvalidInput(
            "user_id", f"is longer than {MAX_USER_ID_CHARACTERS} characters", "Shorten it."
        )
    require_storable("user_id", request.user_id)
    validate_agents(request.agents, known_tools=known_tools)


def _validate_context(context: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(context, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        # `from None`: the message may quote a value.
        raise InvalidInput(
            "context",
            "is not plain JSON data",
            "Pass texts, finite numbers, lists and mappings only.",
        ) from None
    if len(text) > MAX_CONTEXT_CHARACTERS:
        raise InvalidInput(
            "context",
            f"has {len(text):,} characters, at most {MAX_CONTEXT_CHARACTERS:,} are read",
            "Pass an excerpt.",
        )
    # json.dumps spells a NUL as an escape, which the database refuses all the same.
    require_storable("context", text.replace("\\\\", "").replace("\\u0000", "\x00"))


def status_line(session: Mapping[str, Any], agents: Sequence[Mapping[str, Any]]) -> str:
    """Return what has to be known before an answer is read: how many agents stand behind it.

    Args:
        session: With ``status``, ``swarm_status`` and ``missing_agents``.
        agents: Each with its ``status``.
    """
    answered = sum(agent["status"] == "success" for agent in agents)
    text = f"{session['swarm_status'] or session['status']}: "
    text += f"{answered} of {counted(len(agents), 'agent')} answered"
    if session["missing_agents"]:
        missing = sorted(session["missing_agents"].items())
        text += f"; missing: {', '.join(f'{name} ({code})' for name, code in missing)}"
    return f"{text.capitalize()}."


def approval_reasons(
    *,
    requested: bool,
    policy: DomainPolicy,
    cato_verdict: str,
    swarm_status: str,
    agreement: Literal["high", "low", "unknown"],
    not_synthesised: bool = False,
) -> tuple[str, ...]:
    """List why a person has to look; empty means nobody has to.

    Each input only ever adds a reason; none can remove one (DESIGN section 3).

    Args:
        requested: The caller asked for approval.
        policy: The domain's policy.
        cato_verdict: ``safe``, ``review``, ``blocked`` or ``unavailable``.
        swarm_status: ``complete`` or ``degraded``.
        agreement: Of the agents, as the synthesiser said and as it was measured.
        not_synthesised: The draft is the agents' answers, since no model could merge them.

    Returns:
        Codes in a fixed order, for the reviewer and Dagit.
    """
    reasons = [
        ("requested", requested),
        ("domain_policy", policy.approval_required),
        (f"cato_{cato_verdict}", cato_verdict != "safe"),
        ("swarm_degraded", swarm_status != "complete"),
        ("low_agreement", agreement == "low"),
        ("not_synthesised", not_synthesised),
    ]
    return tuple(code for code, holds in reasons if holds)


def final_outcome(verdict: str | None) -> SessionStatus:
    """Map the standing verdict to the status a session ends in; None means nobody was asked."""
    if verdict is None or verdict in ("approved", "modified"):
        return "completed"
    return "expired" if verdict == "expired" else "rejected"


@dataclass(frozen=True, slots=True)
class Release:
    """What a decision makes of a draft.

    Args:
        text: The answer that is handed out, None where there is none (yet).
        note: Code shown beside it: ``redactions_left`` or ``edited``.
        needs_draft: A (new) draft has to be written first.
        review_again: That draft goes to review, since nobody has read it.
    """

    text: str | None = None
    note: str | None = None
    needs_draft: bool = False
    review_again: bool = False


def release(
    *, verdict: str | None, draft: str | None, draft_reviewed: bool, edited_text: str | None
) -> Release:
    """Decide what is handed out.

    Args:
        verdict: The standing decision, None where nobody was asked.
        draft: The stored draft, None where there is none yet.
        draft_reviewed: False where the reviewer saw the agents' answers only.
        edited_text: The reviewer's own text.
    """
    if verdict in ("rejected", "expired"):
        return Release()
    if verdict == "modified":
        if edited_text is None or not edited_text.strip():  # a form sends an empty field
            return Release(needs_draft=True, review_again=True)
        left = PLACEHOLDER.search(edited_text) is not None
        return Release(text=edited_text, note="redactions_left" if left else "edited")
    if draft is None or (verdict == "approved" and not draft_reviewed):
        return Release(needs_draft=True)
    return Release(text=draft)

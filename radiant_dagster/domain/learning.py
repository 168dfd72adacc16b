"""What a session may teach, what it proves of a lesson, and when a candidate may be used.

    approved    the released answer                   do
    modified    the reviewer's text                   do; avoid where guidance says what was wrong
    rejected    the refused draft, with guidance      avoid
    unreviewed  the released answer                   do

Anything else (expired, failed, cancelled, degraded, refused without a word) teaches nothing.
"""

from dataclasses import dataclass

from radiant_dagster.domain.heuristics import Polarity
from radiant_dagster.domain.posterior import probability_above_half, reward

PROMOTED_AT = 0.8  # least probability that a candidate helps more often than not
PROMOTING_USERS = 2  # nobody makes a lesson active alone, however often it is repeated
VOUCHES_AT = 0.5  # a session worth less speaks against its lesson, so its user does not count
# Where a wrong lesson hurts people, a curator decides; the database refuses another policy as well.
CURATED_DOMAINS = frozenset({"medical", "financial", "legal"})
# A mature think tank finds a few new lessons a day; more of one user is a flood or an attack.
NEW_PER_USER_DAY = 20
NEW_PER_TENANT_DAY = 500
LEARNING_STATUSES = frozenset({"concluding", "completed", "rejected"})


@dataclass(frozen=True, slots=True)
class LearningCaps:
    """How many new candidates a day (UTC) may bring.

    Args:
        per_user_day: Of one user's sessions.
        per_tenant_day: Of all of a tenant's sessions.
    """

    per_user_day: int = NEW_PER_USER_DAY
    per_tenant_day: int = NEW_PER_TENANT_DAY

    def reached(self, *, of_user: int, of_tenant: int) -> bool:
        """Tell whether today's candidates leave no room for one more."""
        return of_user >= self.per_user_day or of_tenant >= self.per_tenant_day


@dataclass(frozen=True, slots=True)
class Teaching:
    """What a session may teach.

    Args:
        refusal: A code where it teaches nothing, else empty.
        response: The text to learn from.
        polarities: What a lesson of it may be.
    """

    refusal: str = ""
    response: str = ""
    polarities: tuple[Polarity, ...] = ()


def teaching(
    verdict: str | None,
    *,
    status: str,
    swarm_status: str | None,
    draft: str | None,
    final: str | None,
    guidance: str,
    not_synthesised: bool,
) -> Teaching:
    """Decide which text of a session may be learned from, if any.

    Args:
        verdict: The standing decision, None where nobody reviewed the answer.
        status: The session's.
        swarm_status: Whether all agents answered.
        draft: The text under review.
        final: The text that was released.
        guidance: The reviewer's words.
        not_synthesised: The draft is the agents' answers side by side.
    """
    rejected = verdict == "rejected"
    text = draft if rejected else final
    problems = (
        (f"session_{status}", status not in LEARNING_STATUSES),
        ("expired", verdict == "expired"),
        ("rejected_without_guidance", rejected and not guidance.strip()),
        ("no_answer", text is None or not text.strip()),
        ("swarm_degraded", swarm_status != "complete"),
        # Several opinions side by side are no lesson.
        ("not_synthesised", not_synthesised and text == draft),
    )
    for code, holds in problems:
        if holds:
            return Teaching(refusal=code)
    if rejected:
        return Teaching(response=text or "", polarities=("avoid",))
    either = verdict == "modified" and bool(guidance.strip())
    return Teaching(response=text or "", polarities=("do", "avoid") if either else ("do",))


def evidence_reward(
    verdict: str | None, polarity: Polarity, draft: str, final: str | None
) -> float | None:
    """Return what a reviewed session proves of the lesson it produced or came to again.

    Args:
        verdict: The standing decision.
        polarity: Of the lesson.
        draft: The text under review.
        final: The text that was released.

    Returns:
        For a lesson to do, what the outcome is worth (`posterior.reward`). For one to avoid, the
        opposite: the refusal itself vouches for it, an edit by how much went. None without review.
    """
    worth = reward(verdict, draft, final)
    if worth is None or polarity == "do":
        return worth
    return 1.0 - worth


def may_promote(
    *, domain: str, auto_promote: bool, users: int, objections: int, alpha: float, beta: float
) -> bool:
    """Tell whether a candidate becomes active without a curator.

    Args:
        domain: The lesson's.
        auto_promote: The domain's policy.
        users: Different users whose reviewed sessions vouch for it.
        objections: Open links to lessons that say otherwise, and texts like it that a curator
            declared wrong.
        alpha: Of its posterior.
        beta: Of its posterior.
    """
    return (
        auto_promote
        and domain not in CURATED_DOMAINS
        and users >= PROMOTING_USERS
        and objections == 0
        and probability_above_half(alpha, beta) >= PROMOTED_AT
    )

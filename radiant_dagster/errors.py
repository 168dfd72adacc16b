"""The errors of RADIANT, by what the caller can do about them.

RadiantError
├── TransientError          worth another try
│   ├── DatabaseUnavailable
│   ├── DagsterUnavailable
│   ├── SessionNotLaunched
│   ├── ApiUnavailable      the server that RADIANT_API_URL names
│   ├── BrokerUnavailable
│   ├── LlmUnavailable
│   ├── EmbeddingUnavailable
│   └── CatoUnavailable
├── PermanentError          a rerun changes nothing
│   ├── InvalidInput        names the field, the problem and the fix
│   │   └── ImportRefused   and every line of the file
│   ├── ConfigurationError
│   ├── ServerDied          one of the servers that `radiant up` started
│   ├── LlmRejected
│   ├── BudgetExceeded, BudgetMissing
│   ├── QuorumNotReached
│   ├── UnsafeContent
│   ├── InvalidHeuristic
│   ├── ScrubberUnavailable
│   └── ApiRefused          a refusal of the server that has no class of its own
├── Cancelled               the session or the run was asked to stop
└── StateError              the wrong step for what is stored
    ├── SessionNotFound, ApprovalNotFound, HeuristicNotFound, TenantNotFound
    ├── PrincipalNotFound, KeyNotFound
    ├── HeuristicChanged, CurationForbidden
    ├── SessionStateConflict, FeedbackRefused
    ├── ApprovalAlreadyResolved, ApprovalExpired, ApprovalForbidden, ApprovalChanged
    ├── ApprovalStale, ApprovalClaimed, OriginalErased
    ├── IdempotencyConflict
    ├── DecisionAlreadyClaimed
    └── StackAlreadyRunning

A class takes data and builds its message. Messages carry ids, codes and names of settings; never
prompt, answer, guidance, heuristic or identifier text, because they end in Dagster's event log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


class RadiantError(Exception):
    """Base of every error raised on purpose."""

    code: str = "radiant_error"


class TransientError(RadiantError):
    """Worth another try after a pause."""


class PermanentError(RadiantError):
    """A rerun changes nothing; a person has to change something first."""


class StateError(RadiantError):
    """The step does not fit what is stored."""


class DatabaseUnavailable(TransientError):
    """Postgres cannot be reached or closed the connection."""

    code = "database_unavailable"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"Postgres at {where} cannot be used: {reason}. Start it with `radiant up`, or check "
            "RADIANT_DATABASE_URL, then run `radiant doctor`."
        )


class DagsterUnavailable(TransientError):
    """Dagster's webserver does not answer or refused a launch.

    Args:
        url: Of the webserver.
        reason: A code or short words.
        may_have_acted: True where it was asked and the answer was lost.
    """

    code = "dagster_unavailable"

    def __init__(self, url: str, reason: str, *, may_have_acted: bool = False) -> None:
        super().__init__(
            f"Dagster's webserver at {url} cannot be used: {reason}. Start it with `radiant up`, "
            "or check RADIANT_DAGSTER_URL, then run `radiant doctor`."
        )
        self.reason = reason
        self.may_have_acted = may_have_acted


class SessionNotLaunched(TransientError):
    """A session was stored, but Dagster did not launch its run; it is marked as failed.

    Args:
        session_id: The session.
        reason: A code or short words.
    """

    code = "session_not_launched"

    def __init__(self, session_id: UUID, reason: str) -> None:
        super().__init__(
            f"Dagster did not launch session {session_id} ({reason}), which is marked as failed. "
            f"Once Dagster is mended, `radiant sessions rerun {session_id}` asks again."
        )
        self.session_id = session_id


class ApiUnavailable(TransientError):
    """Mission Control's API does not answer, or says that it cannot at the moment.

    Args:
        url: Of the server.
        reason: A code or short words.
        request_id: Under which the server's log knows the request, where it answered.
    """

    code = "api_unavailable"

    def __init__(self, url: str, reason: str, request_id: str | None = None) -> None:
        named = f" (request {request_id})" if request_id else ""
        super().__init__(
            f"The API at {url} cannot be used: {reason}{named}. Check RADIANT_API_URL, or try "
            "again in a moment."
        )
        self.reason = reason


class ApiRefused(PermanentError):
    """The API refused a request.

    Args:
        code: The problem's code, for instance ``permission_denied``.
        status: HTTP status.
        message: What the server said.
    """

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class BrokerUnavailable(TransientError):
    """The Celery broker does not answer."""

    code = "broker_unavailable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"The broker at {url} cannot be used: {reason}. Start it with `radiant up`, or check "
            "RADIANT_BROKER_URL."
        )


class LlmUnavailable(TransientError):
    """A model call failed in a way that another try may mend.

    Args:
        kind: Short code, for instance ``rate_limited``, ``timeout``, ``connect``, ``http_503``.
        retry_after_seconds: What the provider asked for, None where it did not say.
        billed: True where the provider may have charged for the call.
        fix: What the operator can do, with the setting's name, where one is known.
    """

    def __init__(
        self,
        kind: str,
        *,
        retry_after_seconds: float | None = None,
        billed: bool = False,
        fix: str = "",
    ) -> None:
        super().__init__(f"The model call failed for now ({kind}). {fix}".rstrip())
        self.code = kind
        self.retry_after_seconds = retry_after_seconds
        self.billed = billed


class LlmRejected(PermanentError):
    """The provider refused the call for good.

    Args:
        kind: Short code: ``authentication``, ``unknown_model``, ``context_window``,
            ``content_policy``, ``bad_request``, ``empty``, ``truncated``.
        fix: What the operator can do.
        billed: True where the provider may have charged for the call all the same.
    """

    def __init__(self, kind: str, fix: str = "", *, billed: bool = False) -> None:
        super().__init__(f"The model call was refused ({kind}). {fix}".rstrip())
        self.code = kind
        self.billed = billed


class EmbeddingUnavailable(TransientError):
    """The embedding model cannot be loaded or reached.

    Args:
        billed: True where the provider may have charged for the call.
    """

    code = "embedding_unavailable"

    def __init__(self, model: str, reason: str, *, billed: bool = False) -> None:
        super().__init__(
            f"Embedding model {model} cannot be used: {reason}. Check RADIANT_EMBEDDING_MODEL."
        )
        self.billed = billed


class CatoUnavailable(TransientError):
    """Cato gave no valid verdict; callers treat it as blocked."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"Cato gave no valid verdict ({kind}). Check CATO_SERVICE_URL.")
        self.code = f"cato_unavailable:{kind}"


class InvalidInput(PermanentError):
    """Something a person or program passed is not acceptable.

    Args:
        field: The field's name as the caller knows it.
        problem: What is wrong, without the value of any content.
        fix: What to pass instead.
    """

    code = "invalid_input"

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(f"{field}: {problem}. {fix}")
        self.field = field
        self.problem = problem
        self.fix = fix


@dataclass(frozen=True, slots=True)
class LineFault:
    """Why a line of a file cannot be imported; names no content of it."""

    line: int
    field: str
    problem: str
    fix: str

    @property
    def text(self) -> str:
        """The fault in a sentence."""
        return f"line {self.line}: {self.field} {self.problem}. {self.fix}"


class ImportRefused(InvalidInput):
    """Lines of a file cannot be imported, so none was.

    Args:
        faults: All of them, by line; the message tells the first ones.
    """

    code = "import_refused"
    told = 20

    def __init__(self, faults: Sequence[LineFault]) -> None:
        lines = [fault.text for fault in faults[: self.told]]
        if len(faults) > self.told:
            lines.append(f"... and {len(faults) - self.told} more.")
        number = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(
            "file",
            f"cannot be imported: {number}; nothing was stored",
            "Mend them:\n" + "\n".join(lines),
        )
        self.faults = tuple(faults)


class ConfigurationError(PermanentError):
    """A setting is missing, malformed or contradicts another.

    Args:
        billed: Found out by a paid call.
    """

    code = "configuration"

    def __init__(self, setting: str, problem: str, fix: str, *, billed: bool = False) -> None:
        super().__init__(f"{setting}: {problem}. {fix}")
        self.setting = setting
        self.billed = billed


class ServerDied(PermanentError):
    """A server that we started did not come up, or ended by itself.

    Args:
        name: Which: postgres, valkey, worker.
        exit_code: Its exit code, None where it runs but never answered.
        log: Path of its log.
        log_tail: The last lines of it; shown by the CLI, kept out of the message.
    """

    code = "server_died"

    def __init__(self, name: str, exit_code: int | None, log: str, log_tail: str = "") -> None:
        how = "did not answer in time" if exit_code is None else f"ended with code {exit_code}"
        super().__init__(f"{name} {how}. Read {log}, mend the cause and run `radiant up` again.")
        self.name = name
        self.exit_code = exit_code
        self.log = log
        self.log_tail = log_tail


class BudgetExceeded(PermanentError):
    """The estimate does not fit what may be spent; nothing was.

    Args:
        scope: ``day``, ``month``, ``session``, ``user_day`` or ``user_month``.
        user: Whose budget it is, '' where it is the tenant's or the session's.
        resets_at: None for a session, whose budget stays used up.
    """

    code = "budget_exceeded"

    def __init__(
        self,
        scope: str,
        *,
        needed_micro_usd: int,
        limit_micro_usd: int,
        spent_micro_usd: int,
        reserved_micro_usd: int,
        resets_at: datetime | None,
        user: str = "",
    ) -> None:
        whose = f" of user {user!r}" if user else ""
        command = f"radiant budget set {scope} USD" + (f" --user {user}" if user else "")
        reset = (
            "It does not reset"
            if resets_at is None
            else (f"It resets at {resets_at:%Y-%m-%d %H:%M %Z}")
        )
        wait = "" if resets_at is None else "Wait, use"
        super().__init__(
            f"Budget of the {scope}{whose}: this needs up to ${needed_micro_usd / 1e6:.4f}, but of "
            f"${limit_micro_usd / 1e6:.4f} ${spent_micro_usd / 1e6:.4f} are spent and "
            f"${reserved_micro_usd / 1e6:.4f} reserved. {reset}. {wait or 'Use'} fewer agents, "
            f"lower max_tokens or a cheaper model, or raise it with `{command}`."
        )
        self.scope = scope
        self.user = user
        self.needed_micro_usd = needed_micro_usd
        self.shortfall_micro_usd = (
            needed_micro_usd + spent_micro_usd + reserved_micro_usd - limit_micro_usd
        )
        self.limit_micro_usd = limit_micro_usd
        self.spent_micro_usd = spent_micro_usd
        self.reserved_micro_usd = reserved_micro_usd
        self.resets_at = resets_at


class BudgetMissing(PermanentError):
    """The tenant has no limit in a scope, so nothing may be spent."""

    code = "budget_missing"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"Budget of the {scope}: this tenant has none, so nothing may be spent. Set one with "
            f"`radiant budget set {scope} USD`."
        )


class QuorumNotReached(PermanentError):
    """Too few agents answered to give an answer at all."""

    code = "quorum_not_reached"

    def __init__(self, session_id: UUID, succeeded: int, quorum: int, reasons: str) -> None:
        super().__init__(
            f"Session {session_id}: answers of agents: {succeeded}, needed: {quorum} "
            f"({reasons}). Mend the cause and re-execute all steps of the run: stored answers are "
            "not bought again."
        )


class UnsafeContent(PermanentError):
    """Cato, the scrubber or the injection scan refused something."""

    code = "unsafe_content"

    def __init__(self, what: str, reasons: tuple[str, ...]) -> None:
        super().__init__(f"{what} was refused as unsafe: {', '.join(reasons)}.")
        self.reasons = reasons


class InvalidHeuristic(PermanentError):
    """What the Librarian extracted breaks the heuristic contract."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The extracted heuristic was refused: {reason}.")
        self.code = reason


class ScrubberUnavailable(PermanentError):
    """PHI cannot be detected, so nothing may be shown."""

    code = "scrubber_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The PHI scrubber cannot be used ({reason}); the text is withheld.")


class Cancelled(RadiantError):
    """The session or its run was asked to stop."""

    code = "cancelled"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was cancelled.")


class TenantNotFound(StateError):
    """No tenant of that name."""

    code = "tenant_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"tenant: no tenant named {name!r}. Create it with `radiant tenants create {name}`."
        )


class TenantBusy(StateError):
    """A tenant that is to be erased still has sessions or runs that have not ended."""

    code = "tenant_busy"

    def __init__(self, sessions: int, runs: int) -> None:
        super().__init__(
            f"This tenant has work that has not ended (sessions: {sessions}, runs: {runs}). Let it "
            "end, or cancel it with --force."
        )


class SessionNotFound(StateError):
    """Unknown session, or another tenant's: both read the same."""

    code = "session_not_found"

    def __init__(self, session_id: UUID | str) -> None:
        super().__init__(f"No session {session_id}. List yours with `radiant sessions list`.")


class SessionStateConflict(StateError):
    """The session is not in a state that allows the step."""

    code = "session_state_conflict"

    def __init__(self, session_id: UUID, status: str, wanted: str) -> None:
        super().__init__(f"Session {session_id} is {status}; {wanted}.")
        self.status = status


class ApprovalNotFound(StateError):
    """Unknown approval, or another tenant's: both read the same."""

    code = "approval_not_found"

    def __init__(self, approval_id: UUID | str) -> None:
        super().__init__(f"No approval {approval_id}. List yours with `radiant approvals list`.")


@dataclass(frozen=True, slots=True)
class StandingDecision:
    """The decision that already stands, safe to show."""

    verdict: str
    decided_by: tuple[str, ...]
    decided_at: datetime


class ApprovalAlreadyResolved(StateError):
    """Somebody, or the deadline, decided first."""

    code = "approval_already_resolved"

    def __init__(self, approval_id: UUID, standing: StandingDecision) -> None:
        super().__init__(
            f"Approval {approval_id} was already {standing.verdict} by "
            f"{', '.join(standing.decided_by)} at {standing.decided_at:%Y-%m-%d %H:%M:%S %Z}."
        )
        self.standing = standing


class ApprovalExpired(StateError):
    """The decision came after the deadline; `expired` stands."""

    code = "approval_expired"

    def __init__(self, approval_id: UUID, deadline: datetime) -> None:
        super().__init__(
            f"The deadline of approval {approval_id} passed at {deadline:%Y-%m-%d %H:%M:%S %Z}; "
            "your decision was not recorded. Ask again with `radiant sessions rerun`."
        )
        self.deadline = deadline


class ApprovalForbidden(StateError):
    """This person may not decide this request."""

    code = "approval_forbidden"

    def __init__(self, approval_id: UUID, reason: str) -> None:
        super().__init__(f"Approval {approval_id} cannot be decided by you: {reason}.")


class ApprovalChanged(StateError):
    """The text under review is not the one the reviewer read."""

    code = "approval_changed"

    def __init__(self, approval_id: UUID) -> None:
        super().__init__(
            f"Approval {approval_id} changed since you read it. Read it again with "
            f"`radiant approvals show {approval_id}`."
        )


class ApprovalStale(StateError):
    """The request changed since it was read: a vote, its deadline, role or assignees."""

    code = "approval_stale"

    def __init__(self, approval_id: UUID, version: int) -> None:
        super().__init__(
            f"Approval {approval_id} is at version {version} by now. Read it again with "
            f"`radiant approvals show {approval_id}`."
        )
        self.version = version


class ApprovalClaimed(StateError):
    """Somebody else is reading the request; their claim has not lapsed."""

    code = "approval_claimed"

    def __init__(self, approval_id: UUID, claimed_by: str, until: datetime) -> None:
        super().__init__(
            f"Approval {approval_id} is claimed by {claimed_by} until {until:%H:%M:%S %Z}. Wait "
            "for its end, or ask them to release it."
        )
        self.claimed_by = claimed_by
        self.until = until


class OriginalErased(StateError):
    """The unscrubbed texts of a request are gone; only what reviewers saw is left."""

    code = "original_erased"

    def __init__(self, approval_id: UUID) -> None:
        super().__init__(f"The original texts of approval {approval_id} were erased.")


class IdempotencyConflict(StateError):
    """An idempotency key came back with another request."""

    code = "idempotency_conflict"

    def __init__(self) -> None:
        super().__init__(
            "Idempotency-Key: it was used for another request within the last 24 hours. Use a new "
            "key for a new request."
        )


class DecisionAlreadyClaimed(StateError):
    """Another run already carries this decision out."""

    code = "decision_already_claimed"

    def __init__(self, approval_id: UUID, run_id: str) -> None:
        super().__init__(f"Approval {approval_id} is carried out by run {run_id} already.")
        self.run_id = run_id


class HeuristicNotFound(StateError):
    """Unknown heuristic, or another tenant's: both read the same."""

    code = "heuristic_not_found"

    def __init__(self, heuristic_id: UUID | str) -> None:
        super().__init__(f"No heuristic {heuristic_id}. List yours with `radiant grimoire list`.")


class HeuristicChanged(StateError):
    """The heuristic's text has another version than the one that was read."""

    code = "heuristic_changed"

    def __init__(self, heuristic_id: UUID | str, version: int) -> None:
        super().__init__(
            f"Heuristic {heuristic_id} is at version {version} by now. Read it again with "
            f"`radiant grimoire show {heuristic_id}`."
        )
        self.version = version


class CurationForbidden(StateError):
    """This person may not let this text through."""

    code = "curation_forbidden"

    def __init__(self, heuristic_id: UUID | str, reason: str) -> None:
        super().__init__(
            f"You cannot let heuristic {heuristic_id} through: {reason}. Ask another curator."
        )


class PrincipalNotFound(StateError):
    """No person or service of that name in the tenant."""

    code = "principal_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"name: nobody is called {name!r} here. List them with `radiant principals list`."
        )


class KeyNotFound(StateError):
    """Unknown key, or another tenant's: both read the same."""

    code = "key_not_found"

    def __init__(self, prefix: str) -> None:
        super().__init__(f"No key {prefix}. List them with `radiant keys list`.")


class FeedbackRefused(StateError):
    """This session cannot get this person's feedback."""

    code = "feedback_refused"

    def __init__(self, session_id: UUID, reason: str) -> None:
        super().__init__(f"Session {session_id} takes no feedback from you: {reason}.")


class StackAlreadyRunning(StateError):
    """Another `radiant up` works on the same data folder."""

    code = "stack_already_running"

    def __init__(self, pid: int, home: str) -> None:
        super().__init__(
            f"The stack at {home} is running already (process {pid}). Use it, or end it with "
            "`radiant down`."
        )
        self.pid = pid

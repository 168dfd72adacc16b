"""Makes paid calls: each begins on its reservation before it is sent and leaves a bill behind.

A `Meter` belongs to one step of one session. Its bills wait in memory for `settle`, so that they
are charged in the transaction that stores what was bought; where a crash comes first, the calls
that began are charged their estimates when the session ends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from radiant_dagster.adapters import ledger
from radiant_dagster.adapters.embeddings import EmbeddingModel, LiteLlmEmbeddings
from radiant_dagster.adapters.http_client import never
from radiant_dagster.adapters.ledger import Ticket
from radiant_dagster.adapters.llm import (
    Completion,
    CompletionRequest,
    LlmClient,
    Transport,
    sent_characters,
)
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.governor import (
    PlannedCall,
    Purpose,
    cost_micro_usd,
    estimate,
    estimate_embedding,
)
from radiant_dagster.domain.price_list import PriceTable
from radiant_dagster.errors import (
    ConfigurationError,
    EmbeddingUnavailable,
    InvalidInput,
    LlmRejected,
    LlmUnavailable,
)

FAILURES = (LlmUnavailable, LlmRejected, EmbeddingUnavailable, ConfigurationError)


@dataclass(frozen=True, slots=True)
class _Bill:
    """What is known about one attempt: unbilled, a bill, or None for a bill that never came."""

    ticket: Ticket
    unbilled: bool
    actual_micro_usd: int | None = None
    estimated: bool = False


class Meter:
    """The paid calls of one step, and what they cost.

    Args:
        database: Where the reservations are.
        tenant_id: Whose session it is.
        session_id: The session.
    """

    def __init__(self, database: Database, tenant_id: UUID, session_id: UUID) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._session_id = session_id
        self._bills: list[_Bill] = []
        self.charged_micro_usd = 0

    def begin(self, call: PlannedCall) -> Ticket:
        """Take the money for a call, durably; see `ledger.begin_call`."""
        with self._database.tenant_transaction(self._tenant_id) as cursor:
            return ledger.begin_call(
                cursor, self._tenant_id, self._session_id, call, begun_by=uuid4()
            )

    def answered(self, ticket: Ticket, actual_micro_usd: int | None, *, estimated: bool) -> None:
        """Note the bill of a call that was answered; None where the provider told no usage."""
        self._bills.append(_Bill(ticket, False, actual_micro_usd, estimated))

    def failed(self, ticket: Ticket, *, billed: bool) -> None:
        """Note a call that failed.

        Args:
            billed: It may have been charged for.
        """
        self._bills.append(_Bill(ticket, not billed))

    def settle(self, cursor: Cursor) -> int:
        """Charge the calls made so far.

        Returns:
            Micro-USD of all calls of this meter.
        """
        for bill in self._bills:
            if bill.unbilled:
                ledger.return_call(cursor, self._tenant_id, bill.ticket)
            else:
                self.charged_micro_usd += ledger.settle_call(
                    cursor,
                    self._tenant_id,
                    bill.ticket,
                    bill.actual_micro_usd,
                    estimated=bill.estimated,
                )
        self._bills.clear()
        return self.charged_micro_usd

    def settle_now(self) -> int:
        """Charge the calls made so far in a transaction of their own, see `settle`."""
        if self._bills:
            with self._database.tenant_transaction(self._tenant_id) as cursor:
                self.settle(cursor)
        return self.charged_micro_usd

    def embed(self, model: EmbeddingModel, call: str, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts; free where the model runs on this machine.

        Raises:
            BudgetExceeded, BudgetMissing: The call cannot be paid; nothing was sent.
            EmbeddingUnavailable, ConfigurationError: See `EmbeddingModel.embed`.
        """
        if not isinstance(model, LiteLlmEmbeddings):
            return model.embed(texts)
        needed = estimate_embedding(texts, model.model_id, model.prices)
        ticket = self.begin(PlannedCall(call, "embedding", None, model.model_id, needed))
        try:
            embedded = model.embed_billed(texts)
        except FAILURES as error:
            self.failed(ticket, billed=error.billed)
            raise
        tokens = embedded.prompt_tokens
        cost = None if tokens is None else cost_micro_usd(model.model_id, tokens, 0, model.prices)
        self.answered(ticket, cost, estimated=False)
        return embedded.vectors


class MeteredLlm:
    """A gateway whose every call is paid from the session's reservations.

    Args:
        llm: The gateway itself.
        meter: Keeps the bills.
        call: The ledger's name of the calls made here.
        agent_id: The agent that calls, None for the others.
        ticket: Begun already, for the first call.
    """

    def __init__(
        self,
        llm: LlmClient,
        meter: Meter,
        call: str,
        purpose: Purpose,
        *,
        agent_id: str | None = None,
        ticket: Ticket | None = None,
    ) -> None:
        self.transport: Transport = llm.transport
        self.prices: PriceTable = llm.prices
        self._llm = llm
        self._meter = meter
        self._call = call
        self._purpose: Purpose = purpose
        self._agent_id = agent_id
        self._ticket = ticket

    def complete(
        self,
        request: CompletionRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> Completion:
        """See `LlmClient.complete`; may also raise `BudgetExceeded` before anything is sent.

        A call that is cancelled, or ends in a way nobody foresaw, stays begun: it may be billed.
        """
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            ticket = self._meter.begin(
                PlannedCall(
                    self._call,
                    self._purpose,
                    self._agent_id,
                    request.model,
                    estimate(
                        sent_characters(request),
                        request.max_tokens,
                        request.model,
                        self.prices,
                    ),
                )
            )
        try:
            answer = self._llm.complete(request, cancelled=cancelled, on_text=on_text)
        except FAILURES as error:
            self._meter.failed(ticket, billed=error.billed)
            raise
        except InvalidInput:
            self._meter.failed(ticket, billed=False)
            raise
        self._meter.answered(ticket, answer.cost_micro_usd, estimated=answer.cost_is_estimated)
        return answer

    def give_back(self) -> None:
        """Keep the money of a call that was begun for this gateway and never made."""
        if self._ticket is not None:
            self._meter.failed(self._ticket, billed=False)
            self._ticket = None

    def check(self) -> None:
        """See `LlmClient.check`."""
        self._llm.check()

    def models(self) -> frozenset[str] | None:
        """See `LlmClient.models`."""
        return self._llm.models()

"""One agent's turn: begun on its money, asked, charged and recorded, whatever becomes of it.

    begin (attempt and money, durable) -> ask -> settle and store, in one transaction
                                            '-> fault: settle, then `retry` or a stored result

A finished answer is never bought again: beginning finds it.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from uuid import UUID

from radiant_dagster.adapters import agent_runs, ledger, sessions
from radiant_dagster.adapters.agent_progress import watched
from radiant_dagster.adapters.agent_runs import AgentCall
from radiant_dagster.adapters.agents import ask_agent, may_fit_shortened
from radiant_dagster.adapters.llm import LlmClient
from radiant_dagster.adapters.metering import Meter, MeteredLlm
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.toolbox import Toolbox
from radiant_dagster.domain.governor import agent_call
from radiant_dagster.domain.swarm import AgentResult, gave_up, is_second_malformed
from radiant_dagster.errors import BudgetExceeded, Cancelled, LlmUnavailable, PermanentError

MOST_AT_ONCE = 32  # as many as the executor runs steps


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn came to.

    Args:
        result: As it is stored, with what the ledger charged for this turn; the earlier tries of
            the step are not in it.
        role: The agent's.
        model: Model that was asked for.
    """

    result: AgentResult
    role: str
    model: str


@dataclass(frozen=True, slots=True)
class AgentTurns:
    """The services that agents' turns need.

    Args:
        call_seconds: Longest single model call; the swarm's deadline may cut it shorter.
        retry: Called after a passing fault with the seconds that are left. Raises to have the turn
            taken again as a whole, returns once that is no longer worth it.
    """

    database: Database
    llm: LlmClient
    toolbox: Toolbox
    call_seconds: float
    retry: Callable[[LlmUnavailable, float], None]

    def take(
        self,
        tenant_id: UUID,
        session_id: UUID,
        agent_id: str,
        *,
        run_id: str,
        retry_number: int,
        cancelled: Callable[[], bool],
    ) -> Turn | None:
        """Have one agent answer and store what comes back.

        Args:
            run_id: The Dagster run that asks; all its attempts share one deadline.
            retry_number: Tries of this run before this one.
            cancelled: Asked while anything waits.

        Returns:
            None where a finished answer is there already.

        Raises:
            BudgetExceeded, BudgetMissing: Nothing is held for the first try and no more fits.
            Cancelled: The session was cancelled, or the run was asked to stop.
        """
        while True:
            try:
                with self.database.tenant_transaction(tenant_id) as cursor:
                    call = agent_runs.begin_agent(
                        cursor, tenant_id, session_id, agent_id, run_id=run_id
                    )
            except BudgetExceeded as error:
                if retry_number == 0:
                    raise
                # The first try may be billed and there is no money for another.
                return self._refused(tenant_id, session_id, agent_id, error)
            if call is None:
                return None
            meter = Meter(self.database, tenant_id, session_id)
            result = self._ask(
                meter,
                call,
                tenant_id,
                session_id,
                agent_id,
                retry_number=retry_number,
                cancelled=cancelled,
            )
            again = may_fit_shortened(call, result)
            with self.database.tenant_transaction(tenant_id) as cursor:
                cost = meter.settle(cursor)
                if again:  # the next call reads this code and asks for less
                    agent_runs.note_fault(
                        cursor, tenant_id, session_id, agent_id, result.error_code
                    )
                else:
                    offered = sessions.offered_from(call.session)
                    agent_runs.finish_agent(cursor, tenant_id, session_id, result, offered)
            if not again:
                paid = replace(result, cost_micro_usd=cost)
                return Turn(paid, call.agent["role"], call.agent["model"])

    def take_all(
        self,
        tenant_id: UUID,
        session_id: UUID,
        agent_ids: Sequence[str],
        *,
        run_id: str,
        retry_number: int,
        cancelled: Callable[[], bool],
    ) -> None:
        """Have several agents answer side by side, since they share one deadline; see `take`.

        All of them have ended before anything is raised.
        """
        with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:
            turns = [
                pool.submit(
                    self.take,
                    tenant_id,
                    session_id,
                    agent_id,
                    run_id=run_id,
                    retry_number=retry_number,
                    cancelled=cancelled,
                )
                for agent_id in agent_ids
            ]
        for turn in turns:
            turn.result()

    def _ask(
        self,
        meter: Meter,
        call: AgentCall,
        tenant_id: UUID,
        session_id: UUID,
        agent_id: str,
        *,
        retry_number: int,
        cancelled: Callable[[], bool],
    ) -> AgentResult:
        name = agent_call(agent_id)
        llm = MeteredLlm(self.llm, meter, name, "agent", agent_id=agent_id, ticket=call.ticket)
        started = time.monotonic()
        try:
            live: bool = call.session["live"]
            with watched(self.database, tenant_id, session_id, agent_id, live=live) as on_text:
                return ask_agent(
                    llm,
                    call,
                    tenant_id,
                    session_id,
                    call_seconds=self.call_seconds,
                    toolbox=self.toolbox,
                    database=self.database,
                    cancelled=cancelled,
                    on_text=on_text,
                )
        except (LlmUnavailable, PermanentError, Cancelled) as error:
            llm.give_back()  # out of time before it was sent
            meter.settle_now()  # what was bought, and what may be: before it is bought again
            if isinstance(error, BudgetExceeded):  # of a later call of its turn
                with self.database.tenant_transaction(tenant_id) as cursor:
                    ledger.note_refusal(cursor, tenant_id, session_id, error)
            elif not isinstance(error, LlmUnavailable):
                raise
            elif not is_second_malformed(call.agent["error_code"], error.code, retry_number):
                with self.database.tenant_transaction(tenant_id) as cursor:
                    agent_runs.note_fault(cursor, tenant_id, session_id, agent_id, error.code)
                self.retry(error, call.remaining_seconds - (time.monotonic() - started))
            return gave_up(agent_id, error.code, str(error))

    def _refused(
        self, tenant_id: UUID, session_id: UUID, agent_id: str, error: BudgetExceeded
    ) -> Turn:
        result = gave_up(agent_id, error.code, str(error))
        with self.database.tenant_transaction(tenant_id) as cursor:
            ledger.note_refusal(cursor, tenant_id, session_id, error)
            agent_runs.finish_agent(cursor, tenant_id, session_id, result)
        return Turn(result, "", "")

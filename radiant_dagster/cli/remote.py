"""The command line through the API of a Mission Control elsewhere, without a database of its own.

Answers are turned into what the local commands read, so that one code path shows both. Who acts, in
which tenant and in which roles, is the key's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.adapters.intake import Question
from radiant_dagster.adapters.session_view import AgentProgress, Progress, ReviewProgress
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.client import RadiantClient
from radiant_dagster.errors import ConfigurationError
from radiant_dagster.wire.approvals import Approval
from radiant_dagster.wire.sessions import AgentRequest, SubmitSession

EDITED = ("edited", "redactions_left")


@dataclass(frozen=True, slots=True)
class Links:
    """The pages of runs in Dagit, as the server said."""

    known: dict[str, str] = field(default_factory=dict[str, str])

    def run_link(self, run_id: str) -> str:
        """Return the page of a run, its id alone where the server named none."""
        return next((link for link in self.known.values() if link.endswith(run_id)), run_id)

    def learn(self, links: list[str]) -> None:
        """Remember what the server said."""
        self.known.update({link: link for link in links})


@dataclass(frozen=True, slots=True)
class Remote:
    """One command's connection to the API."""

    api: RadiantClient
    dagster: Links = field(default_factory=Links)

    def submit(self, question: Question) -> UUID:
        """Ask; returns the session's id."""
        if question.rerun_of is not None:
            asked = self.api.rerun(question.rerun_of, live=question.live)
        else:
            asked = self.api.submit(submission(question))
        self.dagster.learn([asked.run_link] if asked.run_link else [])
        return asked.session_id

    def look(self, session_id: UUID) -> Progress:
        """Return how far a session is."""
        now = self.api.status(session_id).model_dump(exclude={"ended", "waits_for_person"})
        agents = tuple(AgentProgress(**agent) for agent in now.pop("agents"))
        review = now.pop("review")
        return Progress(**now, agents=agents, review=ReviewProgress(**review) if review else None)

    def view(self, session_id: UUID) -> dict[str, Any]:
        """Return what came of a session, as `adapters.session_view` does.

        Drafts, tool calls, credits and the audit trail stay on the server; of the draft there is
        what was released of it.
        """
        view = self.api.result(session_id).model_dump()
        self.dagster.learn(view.pop("run_links"))
        session = view["session"]
        reasons = session["approval_reasons"]
        session["draft"] = None if session["final_note"] in EDITED else session["final_response"]
        session["draft_details"] = {
            "not_synthesised": "not_synthesised" in reasons,
            "agreement": "low" if "low_agreement" in reasons else None,
        }
        return view | {"tool_calls": [], "uses": [], "audit": []}

    def approval(self, approval_id: UUID) -> dict[str, Any]:
        """Return a request as `adapters.approvals.get_approval` does."""
        return self.api.approval(approval_id).model_dump()

    def decide(self, row: dict[str, Any], verdict: str, **more: Any) -> str | None:
        """Decide on exactly what was read; returns the verdict that stands."""
        return self.api.decide(Approval.model_validate(row), verdict, **more).verdict

    def find(self, kind: Literal["sessions", "approvals", "grimoire"], prefix: str) -> list[UUID]:
        """Return the ids that begin so."""
        return self.api.find_ids(kind, prefix)


def submission(question: Question) -> SubmitSession:
    """Return a question as the API takes it."""
    agents = None
    if question.agents is not None:
        agents = [
            AgentRequest(
                agent_id=agent.agent_id,
                role=agent.role,
                model=agent.model,
                temperature=agent.temperature,
                max_tokens=agent.max_tokens,
                tools=None if agent.tools is None else list(agent.tools),
                instructions=agent.instructions,
                output_schema=None if agent.output_schema is None else dict(agent.output_schema),
            )
            for agent in question.agents
        ]
    return SubmitSession(
        prompt=question.prompt,
        domain=question.domain,
        panel=question.panel,
        agents=agents,
        context=dict(question.context),
        system_prompt=question.system_prompt,
        require_approval=question.require_approval,
        parent=question.parent_session_id,
        live=question.live,
    )


@contextmanager
def open_remote(settings: Settings) -> Iterator[Remote | None]:
    """Open the API that the settings name; None where they name none.

    Raises:
        ConfigurationError: There is no key for it.
    """
    if settings.api_url is None:
        yield None
        return
    if settings.api_key is None:
        raise ConfigurationError(
            "RADIANT_API_KEY",
            "is not set, but RADIANT_API_URL is",
            "Set it to a key of yours, or unset RADIANT_API_URL to work on the database.",
        )
    api = RadiantClient(settings.api_url, settings.api_key.get_secret_value())
    try:
        yield Remote(api)
    finally:
        api.close()

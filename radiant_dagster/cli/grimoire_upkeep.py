"""`radiant grimoire rebuild` and `reembed`: what an operator does to a Grimoire by hand."""

import click

from radiant_dagster.adapters.embeddings import build_embeddings
from radiant_dagster.adapters.grimoire import rebuild as posteriors
from radiant_dagster.adapters.grimoire import reembed as vectors
from radiant_dagster.cli.common import (
    as_option,
    connect,
    emit_json,
    example,
    json_option,
    login_name,
    make_console,
    short,
    tenant_option,
)
from radiant_dagster.cli.main import EXIT_STATE
from radiant_dagster.domain.wording import counted

MOST_SHOWN = 20


@click.command(
    short_help="Compute every confidence again from its records.",
    epilog=example("radiant grimoire rebuild --check", "radiant grimoire rebuild --as curator"),
)
@click.option("--check", is_flag=True, help="Change nothing; exit code 3 where one differs.")
@as_option
@tenant_option
@json_option
def rebuild(*, check: bool, actor: str | None, tenant: str | None, as_json: bool) -> None:
    """Compute confidence again from the recorded uses and reviewed sessions.

    Differences of up to 0.1 % are rounding and left alone. Others are set right, each with a line
    in the audit.
    """
    who = login_name(actor)
    with connect(tenant) as client, client.database.tenant_transaction(client.tenant_id) as cursor:
        found = (
            posteriors.differences(cursor, client.tenant_id)
            if check
            else posteriors.rebuild(cursor, client.tenant_id, actor=who)
        )
    if as_json:
        emit_json({"check": check, "differing": found})
    else:
        _print(found, check=check)
    if check and found:
        raise click.exceptions.Exit(EXIT_STATE)


def _print(found: list[posteriors.Difference], *, check: bool) -> None:
    if not found:
        click.echo("Every confidence is what its records add up to.")
        return
    for item in found[:MOST_SHOWN]:
        click.echo(
            f"{short(item.id)}  Beta({item.alpha:.3f}, {item.beta:.3f}) stored, "
            f"Beta({item.expected_alpha:.3f}, {item.expected_beta:.3f}) by its records"
        )
    if len(found) > MOST_SHOWN:
        click.echo(f"... and {len(found) - MOST_SHOWN} more; --json lists all.")
    click.echo(
        f"Differing: {len(found)}. `radiant grimoire rebuild` sets them right."
        if check
        else f"Set right: {len(found)}."
    )


@click.command(
    short_help="Embed what is of a replaced model again.",
    epilog=example("radiant grimoire reembed"),
)
@tenant_option
@json_option
def reembed(tenant: str | None, as_json: bool) -> None:
    """Give heuristics of a replaced embedding model vectors of the present one.

    The daily maintenance does the same. Stopped half-way, it goes on where it was.
    """
    console = make_console(stderr=True)

    def tell(done: int, total: int) -> None:
        console.print(f"{done} of {total} embedded", style="dim")

    with connect(tenant) as client:
        model = build_embeddings(client.settings)
        done = vectors.reembed(client.database, client.tenant_id, model, progress=tell)
    if as_json:
        emit_json({"model": model.model_id, "replaced": done})
    elif done:
        click.echo(f"{counted(done, 'heuristic')} got new vectors of {model.model_id}.")
    else:
        click.echo(f"Nothing to do: every heuristic has a vector of {model.model_id}.")

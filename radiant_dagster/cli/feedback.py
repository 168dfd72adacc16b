"""`radiant feedback`: say how good an answer was that nobody reviewed."""

import click

from radiant_dagster.adapters import feedback as store
from radiant_dagster.adapters.feedback import FeedbackVerdict
from radiant_dagster.cli.common import (
    as_option,
    connect_either,
    emit_json,
    example,
    json_option,
    login_name,
    read_text,
    resolve_id,
    tenant_option,
    valid_text,
)
from radiant_dagster.cli.remote import Remote


@click.command(
    short_help="Say how good an answer was that nobody reviewed.",
    epilog=example(
        "radiant feedback 3f2a9c good",
        'radiant feedback 3f2a9c bad --note "Wrong temperature."',
        "radiant feedback 3f2a9c corrected --text better.txt",
    ),
)
@click.argument("session_id", metavar="SESSION")
@click.argument("verdict", type=click.Choice(["good", "bad", "corrected"]))
@click.option("--note", default="", help="Why.")
@click.option(
    "--text", metavar="FILE", help="The answer as it should have been; - reads standard input."
)
@as_option
@tenant_option
@json_option
def feedback(
    session_id: str,
    verdict: FeedbackVerdict,
    note: str,
    text: str | None,
    actor: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Say how good an answer was that nobody reviewed, once a person.

    The first to say so settles what the heuristics behind the answer were worth.
    """
    corrected = None if text is None else read_text("--text", text)
    who, why = login_name(actor), valid_text("--note", note)
    with connect_either(tenant) as client:
        found = resolve_id(client, "session", session_id)
        if isinstance(client, Remote):
            done = client.api.feedback(found, verdict, note=why, corrected_text=corrected)
            given = store.Given(done.outcome, done.heuristics_credited)
        else:
            with client.database.tenant_transaction(client.tenant_id) as cursor:
                given = store.give(
                    cursor, client.tenant_id, found,
                    actor=who, verdict=verdict, note=why, corrected_text=corrected,
                )  # fmt: skip
    if as_json:
        emit_json({"session_id": found, "verdict": verdict, **_facts(given)})
    else:
        meant = "It is the session's outcome" if given.outcome else "Others were first"
        click.echo(f"Recorded. {meant}; {given.credited} heuristic(s) moved.")


def _facts(given: store.Given) -> dict[str, object]:
    return {"outcome": given.outcome, "heuristics_credited": given.credited}

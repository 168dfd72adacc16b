"""`radiant feedback`: say how good an answer was that nobody reviewed."""

from uuid import UUID

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
    short,
    tenant_option,
    valid_text,
)
from radiant_dagster.cli.remote import Remote
from radiant_dagster.domain.wording import counted


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
        click.echo(_sentence(given, found))


def _sentence(given: store.Given, session_id: UUID) -> str:
    if not given.outcome:
        return "Recorded. Somebody judged this answer before you, so no confidence moves."
    if not given.credited:
        return (
            "Recorded as the session's outcome. No heuristic moves: the agents cited none, or this "
            "asker's sessions have moved it enough for a day."
        )
    return (
        f"Recorded as the session's outcome; it moves {counted(given.credited, 'heuristic')}: "
        f"radiant sessions show {short(session_id)}"
    )


def _facts(given: store.Given) -> dict[str, object]:
    return {"outcome": given.outcome, "heuristics_credited": given.credited}

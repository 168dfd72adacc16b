"""`radiant scrub`: masks what identifies a person, for people who pass a text on."""

import click

from radiant_dagster.adapters.detectors import ENGINES, Engine, detector_of
from radiant_dagster.cli.common import emit_json, example, json_option, load_settings, read_text
from radiant_dagster.domain.phi import scrub_bundle


@click.command(
    short_help="Mask what identifies a person in a text.",
    epilog=example("radiant scrub letter.txt", "cat note.txt | radiant scrub --json"),
)
@click.argument("file", metavar="[FILE]", default="-")
@click.option(
    "--engine", type=click.Choice(ENGINES), help="What finds it. Default: RADIANT_PHI_ENGINE."
)
@json_option
def scrub(file: str, engine: Engine | None, as_json: bool) -> None:
    """Print a text with placeholders in place of what identifies a person.

    Reads FILE, or standard input. The same value gets the same placeholder. Nothing is stored, so
    what was masked cannot be looked up later. Have a person read the result before it leaves: no
    scrubber finds everything.
    """
    settings = load_settings(stack=False)
    detector = detector_of(engine or settings.phi_engine, settings.ner_model)
    text = read_text("FILE", file)
    bundle = scrub_bundle({"text": text}, detector)
    if not as_json:
        click.echo(bundle.fields["text"], nl=False)
        return
    spans = [
        {"start": span.start, "end": span.end, "type": span.type} for span in bundle.spans["text"]
    ]
    emit_json({"text": bundle.fields["text"], "counts": bundle.counts, "spans": spans})

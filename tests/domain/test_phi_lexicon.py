"""People, places and addresses that no label announces, and the terms that must stay."""

from dataclasses import dataclass

import pytest

from radiant_dagster.adapters.detectors import detector_of
from radiant_dagster.domain.phi import Span, scrub_bundle
from radiant_dagster.domain.phi_ner import CHUNK, chunks

DETECTOR = detector_of("rules", "")


def masked(text: str) -> set[tuple[str, str]]:
    bundle = scrub_bundle({"text": text}, DETECTOR)
    return {(p[1 : p.rindex("_")], value) for p, value in bundle.mapping.items()}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Then Lukas brought the results.", "Lukas"),
        ("Add Irenke Szabo to the account.", "Irenke Szabo"),
        ("The producer James Sparks explained it.", "James Sparks"),
        ("We asked Þórunn Jónsdóttir twice.", "Þórunn Jónsdóttir"),
        ("they called terrence yesterday", "terrence"),
    ],
)
def test_a_name_without_a_cue_is_known_from_the_lists(text: str, name: str) -> None:
    assert masked(text) == {("PERSON", name)}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("Uruguay was fun to visit.", "Uruguay"),
        ("we moved here from tunisia", "tunisia"),
        ("Flights to New Zealand were full.", "New Zealand"),
        ("The trial ran in Wrocław.", "Wrocław"),
    ],
)
def test_a_place_without_a_cue_is_known_from_the_lists(text: str, place: str) -> None:
    assert masked(text) == {("LOCATION", place)}


@pytest.mark.parametrize(
    ("before", "address", "after"),
    [
        ("The letter arrived at ", "227 Hauptweg 5 Apt. 12\n Lund\n Sweden 22100", " last night."),
        ("Our office is at ", "48010 Paseo del Prado 81\n Suite 762\n Torrente\n Spain 20416", ""),
        ("It is at ", "770 26 rue des tilleuls Martin", "."),
        ("Send it to ", "12 Rua da Prata, Apt. 3, Lisboa, Portugal", "."),
        ("We meet at ", "the corner of ul. Cicha 8 and Lipowa 3", "."),
        ("Our hotel is at ", "PSC 3294, Box 9168\nAPO AA 61487", "."),
        ("Address: ", "P.O. Box 211 Harbour Islands\n Apt. 258\n Nuuk\n Greenland 52207", ""),
    ],
)
def test_an_address_is_masked_to_its_end_over_commas_and_lines(
    before: str, address: str, after: str
) -> None:
    text = before + address + after

    bundle = scrub_bundle({"text": text}, DETECTOR)

    assert bundle.fields["text"].startswith(before)
    assert bundle.fields["text"].endswith(after)
    left = bundle.fields["text"].removeprefix(before)
    assert not any(word in left for word in address.replace(",", " ").split() if len(word) > 2)


def test_an_address_of_quoted_lines_is_masked() -> None:
    text = ">Marta Palermo\n>1072 Pohlstrasse 9\n>Suite 858\n>Oslo\n>Norway 74285"

    scrubbed = scrub_bundle({"text": text}, DETECTOR).fields["text"]

    for word in ("Palermo", "1072", "Pohlstrasse", "858", "Oslo", "Norway", "74285"):
        assert word not in scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "She was sent home on Lasix 40 mg and Synthroid 50 daily.",
        "He is staying on Coumadin 5 mg; moved to comfort care.",
        "BP 120/80, b.p. 118 later; T waves flat 3 leads.",
        "Allegra 180 mg was stopped; Yasmin continued.",
        "HER2 negative, ER 95%, PD-L1 80%, NA 138, PLT 243.",
        "Foley catheter removed; Hartmann pouch intact; Babinski negative.",
        "West Nile virus, Rocky Mountain spotted fever, Lyme disease and Ebola virus.",
        "Sex F. Reported by the laboratory. Specimen received. Callback planned.",
        "Heparin 2000 units; in 2000 patients; of 1990 mL.",
        "Capitalised Words Like Wisdom And Discipline Are Everyday Words.",
        "Use PostgreSQL and Dagster; Python was slower in this test.",
    ],
)
def test_terms_doses_and_headings_stay(text: str) -> None:
    assert scrub_bundle({"text": text}, DETECTOR).fields["text"] == text


def test_all_speakers_of_a_dialogue_are_people_where_one_is_known() -> None:
    text = "Zdzibor: What a day.\nNicole: Tell me more.\nZdzibor: Later."

    assert masked(text) == {("PERSON", "Zdzibor"), ("PERSON", "Nicole")}


def test_headings_are_no_speakers() -> None:
    text = "Neuro: Alert today.\nHeent: Normal exam.\nAbd: Soft throughout."

    assert masked(text) == set()


def test_spans_are_given_in_the_offsets_of_the_input() -> None:
    text = "Zo\u00eb said: call Lukas Weber, MRN 4827193, then Lukas again."

    bundle = scrub_bundle({"text": text, "other": "Weber came"}, DETECTOR)

    found = {(text[s.start : s.end], s.type) for s in bundle.spans["text"]}
    assert ("4827193", "MRN") in found
    assert ("Lukas Weber", "PERSON") in found
    assert {(s.start, s.end) for s in bundle.spans["other"]} == {(0, 5)}


@dataclass(frozen=True)
class TwoPasses:
    """Sees the second word only once the first is a placeholder, as a real text may have it."""

    def detect(self, text: str) -> tuple[Span, ...]:
        for word, kind in (("beta", "PERSON"), ("alpha", "LOCATION"), ("gamma", "DATE")):
            if (at := text.find(word)) >= 0:
                return (Span(at, at + len(word), kind, 1.0, "test"),)
        return ()


def test_spans_of_later_passes_are_given_in_the_offsets_of_the_input_too() -> None:
    text = "x alpha, beta; gamma y"

    spans = scrub_bundle({"text": text}, TwoPasses()).spans["text"]

    assert [(text[s.start : s.end], s.type) for s in spans] == [
        ("alpha", "LOCATION"),
        ("beta", "PERSON"),
        ("gamma", "DATE"),
    ]


def test_a_model_is_given_a_long_text_in_pieces_that_hold_a_capitalised_word() -> None:
    text = "lower words 12 " * 400 + "then Vukosava " + "0-12 " * 2000 + "came Ann"

    pieces = list(chunks(text))

    assert [text[at : at + len(piece)] for at, piece in pieces] == [p for _, p in pieces]
    assert len(pieces) == 2
    assert "Vukosava" in pieces[0][1]
    assert "Ann" in pieces[1][1]
    assert all(len(piece) <= CHUNK for _, piece in pieces)

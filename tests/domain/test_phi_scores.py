"""How the figures of `radiant eval phi` are counted, and the yardstick it compares with."""

from radiant_dagster.domain.phi_scores import Document, Labelled, score
from radiant_dagster.domain.phi_yardstick import SourceDesignDetector

TEXT = "Dr. Ann Lee, 40, of Acme called 555-0100."
NAME = Labelled(4, 11, "PERSON")
AGE = Labelled(13, 15, "AGE")
COMPANY = Labelled(20, 24, "ORGANIZATION")
PHONE = Labelled(32, 40, "PHONE")


def document(*spans: Labelled, text: str = TEXT, source: str = "notes") -> Document:
    return Document("d", source, text, spans)


def test_an_identifier_is_covered_only_where_every_letter_and_digit_is() -> None:
    masked = [Labelled(4, 10, "PERSON"), Labelled(32, 35, "PHONE"), Labelled(36, 40, "PHONE")]

    scores = score([(document(NAME, PHONE), masked)])

    assert scores.by_type["PERSON"].full == 0
    assert scores.by_type["PHONE"].full == 1
    assert scores.overall.leak_free_documents == 0
    assert scores.overall.covered_characters == 5 + 7
    assert scores.overall.characters == 6 + 7


def test_the_right_place_with_the_wrong_kind_is_covered_and_not_typed() -> None:
    scores = score([(document(NAME), [Labelled(4, 11, "LOCATION")])])

    assert (scores.overall.full, scores.overall.typed) == (1, 0)
    assert scores.overall.leak_free_documents == 1


def test_kinds_that_nobody_minds_count_neither_way() -> None:
    masked = [NAME, AGE, COMPANY]

    scores = score([(document(NAME, AGE, COMPANY), masked)])

    assert scores.overall.entities == 1
    assert scores.overall.figures()["character_precision_percent"] == 100.0
    assert "AGE" not in scores.by_type


def test_what_is_masked_for_nothing_costs_precision_and_touches_a_clean_document() -> None:
    clean = "WBC 12300 today"
    masked = [Labelled(4, 9, "LOCATION")]

    scores = score([(document(text=clean, source="clean"), masked), (document(NAME), [NAME])])

    figures = scores.overall.figures()
    assert (figures["clean_documents"], figures["clean_documents_touched"]) == (1, 1)
    assert figures["character_precision_percent"] == round(100 * 6 / 11, 2)
    assert scores.by_source["clean"].clean_documents_touched == 1
    assert scores.by_source["notes"].clean_documents == 0


def test_an_international_account_number_is_an_account() -> None:
    text = "pay DE89370400440532013000 now"

    scores = score([(document(Labelled(4, 26, "ACCOUNT"), text=text), [Labelled(4, 26, "IBAN")])])

    assert scores.overall.typed == 1


def test_without_documents_there_are_no_percentages() -> None:
    figures = score([]).overall.figures()

    assert figures["full_percent"] is None
    assert figures["clean_documents"] == 0


def test_the_yardstick_makes_the_source_designs_mistakes() -> None:
    text = "MRN is 4827193, WBC 12300, SSN 123-45-6789, a@b.org"

    found = {(text[s.start : s.end], s.type) for s in SourceDesignDetector().detect(text)}

    assert found == {
        ("MRN is", "MRN"),
        ("12300", "LOCATION"),
        ("123-45-6789", "SSN"),
        ("a@b.org", "EMAIL"),
    }

"""What is masked, what is left alone, and how placeholders behave over a bundle."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiant_dagster.domain.phi import (
    TYPES,
    RuleDetector,
    Span,
    has_identifiers,
    scrub_bundle,
)
from radiant_dagster.domain.phi_numbers import PLACEHOLDER
from radiant_dagster.errors import ScrubberUnavailable

DETECTOR = RuleDetector()


def scrub(text: str) -> str:
    return scrub_bundle({"text": text}, DETECTOR).fields["text"]


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("MRN is 4827193", "MRN is [MRN_1]"),
        ("MRN#4827193", "MRN#[MRN_1]"),
        ("MRN: 123456789 / MRN: 12345", "MRN: [MRN_1] / MRN: [MRN_2]"),
        ("NPI 1234567893", "NPI [LICENSE_1]"),
        ("Call (555) 123-4567", "Call [PHONE_1]"),
        ("+1-555-123-4567", "[PHONE_1]"),
        (
            "Amex 378282246310005; Amex 3782 822463 10005",
            "Amex [CREDIT_CARD_1]; Amex [CREDIT_CARD_1]",
        ),
        ("SSN 123 45 6789", "SSN [SSN_1]"),
        ("The patient identified three barriers.", "The patient identified three barriers."),
        ("Medical record review was done.", "Medical record review was done."),
        ("WBC 12300, Platelets 81000", "WBC 12300, Platelets 81000"),
        (
            "John Smith, 94 yo, 12 Oak St, DOB 01/02/1931",
            "[PERSON_1], [AGE_OVER_89_1] yo, [LOCATION_1], DOB [DATE_1]",
        ),
    ],
)
def test_the_faults_of_naive_patterns_do_not_occur(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("PERSON", "Seen by Dr. Young today", "Young"),
        ("PERSON", "Name: ROUSSEAU, EKALINGA. Sex F", "ROUSSEAU, EKALINGA"),
        ("PERSON", "Ordering: May MD.", "May"),
        ("PERSON", "Her son Niharika de la Cruz helps", "Niharika de la Cruz"),
        ("LOCATION", "He lives at 497 Morris Ave Apt. 992", "497 Morris Ave Apt. 992"),
        ("LOCATION", "resident of Millbrook, in a flat", "Millbrook"),
        ("LOCATION", "Springfield, IL 62704", "62704"),
        ("LOCATION", "seen in Hudson County", "Hudson County"),
        ("DATE", "on 9/14 INR was 3.8", "9/14"),
        ("DATE", "Admitted: 23 Dec 2025.", "23 Dec 2025"),
        ("DATE", "since April 18th", "April 18th"),
        ("AGE_OVER_89", "a 94-year-old woman", "94"),
        ("AGE_OVER_89", "a stroke at age 104.", "104"),
        ("PHONE", "call +44 20 7413 0609", "+44 20 7413 0609"),
        ("PHONE", "Dr. Ruiz paged at 42921.", "42921"),
        ("PHONE", "fax (248) 289-9240 ext. 12", "(248) 289-9240 ext. 12"),
        ("EMAIL", "Reply to a.b+c@example.co.uk.", "a.b+c@example.co.uk"),
        ("SSN", "Last four of SSN 7068.", "7068"),
        ("SSN", "her id is 234-25-6942", "234-25-6942"),
        ("MRN", "Chart #322-80-84.", "322-80-84"),
        ("HEALTH_PLAN_ID", "member ID H870134594", "H870134594"),
        ("HEALTH_PLAN_ID", "she has 5R54-M37-AH95 on file", "5R54-M37-AH95"),
        ("ACCOUNT", "account number AC-7186-349", "AC-7186-349"),
        ("IBAN", "pay DE89 3704 0044 0532 0130 00 now", "DE89 3704 0044 0532 0130 00"),
        ("CREDIT_CARD", "card 584528792610", "584528792610"),
        ("LICENSE", "DEA AE9757610", "AE9757610"),
        ("LICENSE", "Driver's license F8798746.", "F8798746"),
        ("VEHICLE_ID", "license plate BVB 9648", "BVB 9648"),
        ("VEHICLE_ID", "the car 1M8GDM9AXKP042788", "1M8GDM9AXKP042788"),
        ("DEVICE_ID", "pacemaker serial number SN527901077", "SN527901077"),
        ("URL", "see https://example.org/p?id=1 there", "https://example.org/p?id=1"),
        ("URL", "at www.example.com/blog", "www.example.com/blog"),
        ("IP_ADDRESS", "from 189.2.195.130.", "189.2.195.130"),
        ("IP_ADDRESS", "from 4bfa:a69c:38b8:5e6a:1dfd:92eb:5073:9c2",
         "4bfa:a69c:38b8:5e6a:1dfd:92eb:5073:9c2"),
        ("BIOMETRIC", "fingerprint template 40ef3552fa262effe86a1b9e",
         "40ef3552fa262effe86a1b9e"),
        ("PHOTO", "Photo on file IMG_2806.jpg;", "IMG_2806.jpg"),
        ("OTHER_ID", "Pathology accession ACC19535202.", "ACC19535202"),
    ],
)  # fmt: skip
def test_each_kind_of_identifier_is_masked_whole(kind: str, text: str, value: str) -> None:
    bundle = scrub_bundle({"text": text}, DETECTOR)

    assert (kind, value) in {(p[1 : p.rindex("_")], v) for p, v in bundle.mapping.items()}
    assert value not in bundle.fields["text"]


@pytest.mark.parametrize(
    "text",
    [
        "Platelets fell from 243000 to 81000 over 5 days; 4T score 5.",
        "Heparin 25000 units in 250 mL D5W at 18 units/kg/hr.",
        "CPT 99213 and 99214 were billed; ICD-10 E11.9 and I10.",
        "NDC 00093-7214-01 was substituted for the brand product.",
        "BP 120/80, HR 96, pain 4/10, temperature 98.6 F, MAP 62.",
        "Warfarin 5 mg Mon/Wed/Fri; trough 15-20 mcg/mL; ratio 10/20/30 mg.",
        "The trial randomised 18144 patients (95% CI 0.84-0.95).",
        "A 54-year-old man took 92 mg of Metoprolol.",
        "Consider Parkinson's disease, Foley catheter, West Nile virus and Lewy Body dementia.",
        "Bell's palsy was treated with Prednisone; Glasgow Coma Scale 15.",
        "May repeat in 5 minutes; Mark the site. Will follow.",
        "Key Findings: Left Ventricular Ejection Fraction 55%. Acute Coronary Syndrome unlikely.",
        "Hepatitis B. Vaccination given. Vitamin D. Calcium 9.2.",
    ],
)
def test_clinical_values_and_terms_stay(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "MRN \uff14\uff18\uff12\uff17\uff11\uff19\uff13",
        "MRN 48\u200b27\u200c193",
        "M\u00adRN 4827\u2060193",
        "MRN &#52;&#56;27193",
        "MRN:\n4827193",
        "MRN \u0664\u0668\u0662\u0667\u0661\u0669\u0663",
        "MRN\u00a04827193",
    ],
)
def test_disguised_digits_are_masked_in_the_original(text: str) -> None:
    bundle = scrub_bundle({"text": text}, DETECTOR)

    assert list(bundle.counts) == ["MRN"]
    assert not re.search(r"\d(?<!\])", PLACEHOLDER.sub("", bundle.fields["text"]))


def test_offsets_point_into_the_original_text() -> None:
    text = "\ufb01rst \u200bname: Ren\u0065\u0301e Dup\u200cont, SSN 234\u201325\u20136942"

    spans = DETECTOR.detect(text)

    assert [(s.type, text[s.start : s.end]) for s in spans] == [
        ("PERSON", "Ren\u0065\u0301e Dup\u200cont"),
        ("SSN", "234\u201325\u20136942"),
    ]


def test_the_same_value_has_the_same_number_in_every_field() -> None:
    fields = {
        "prompt": "Patient: John Smith, MRN 4827193, call 555-123-4567",
        "answer": "JOHN SMITH (record 4827193) can be reached at (555) 123-4567.",
        "other": "Patient: Mary Jones",
    }

    bundle = scrub_bundle(fields, DETECTOR)

    assert bundle.fields == {
        "prompt": "Patient: [PERSON_1], MRN [MRN_1], call [PHONE_1]",
        "answer": "[PERSON_1] (record [MRN_1]) can be reached at [PHONE_1].",
        "other": "Patient: [PERSON_2]",
    }
    assert bundle.mapping == {
        "[PERSON_1]": "John Smith",
        "[MRN_1]": "4827193",
        "[PHONE_1]": "555-123-4567",
        "[PERSON_2]": "Mary Jones",
    }
    assert bundle.counts == {"MRN": 2, "PERSON": 3, "PHONE": 2}


def test_a_name_found_in_one_field_is_masked_in_the_others() -> None:
    fields = {"a": "Quillfeather improved. Zebedee agrees.", "b": "Mr. Zebedee Quillfeather"}

    bundle = scrub_bundle(fields, DETECTOR)

    assert bundle.fields == {"a": "[PERSON_1] improved. [PERSON_1] agrees.", "b": "Mr. [PERSON_1]"}


def test_a_surname_alone_is_the_only_person_it_can_be() -> None:
    one = scrub_bundle({"t": "Dr. Smith met John Smith."}, DETECTOR)
    two = scrub_bundle({"t": "Dr. Smith met John Smith and Mary Smith."}, DETECTOR)

    assert one.fields["t"] == "Dr. [PERSON_1] met [PERSON_1]."
    assert two.fields["t"] == "Dr. [PERSON_1] met [PERSON_2] and [PERSON_3]."


def test_last_first_and_first_last_are_one_person() -> None:
    assert scrub("Name: SMITH, JOHN. Mr. John Smith") == "Name: [PERSON_1]. Mr. [PERSON_1]"


def test_a_patient_called_parkinson_does_not_hide_the_disease() -> None:
    scrubbed = scrub("Mr. Parkinson has Parkinson's disease; Parkinson was seen.")

    assert scrubbed == "Mr. [PERSON_1] has Parkinson's disease; [PERSON_1] was seen."


def test_a_literal_placeholder_is_never_filled_in() -> None:
    text = "[PERSON_1] saw Dr. Smith, [MRN_7]"

    bundle = scrub_bundle({"t": text}, DETECTOR)

    assert bundle.fields["t"] == "[PERSON_1] saw Dr. [PERSON_2], [MRN_7]"
    assert bundle.mapping == {"[PERSON_2]": "Smith"}


def test_nothing_is_left_after_scrubbing() -> None:
    text = "Dear Dr. Dube,\nthank you for seeing Deepa U. Morris (MRN 4827193) on 10-16-24."

    assert has_identifiers(text, DETECTOR) == ("DATE", "MRN", "PERSON")
    assert has_identifiers(scrub(text), DETECTOR) == ()


def test_neither_spans_nor_bundles_show_their_text() -> None:
    bundle = scrub_bundle({"t": "Mr. Quillfeather"}, DETECTOR)

    assert "Quillfeather" not in repr(bundle)
    assert "Quillfeather" not in repr(DETECTOR.detect("Mr. Quillfeather"))


class Restless:
    """A detector that finds one more character each time."""

    def detect(self, text: str) -> tuple[Span, ...]:
        start = max((m.end() for m in PLACEHOLDER.finditer(text)), default=0)
        return (Span(start, start + 1, "PERSON", 1.0, "restless"),)


def test_a_detector_that_never_rests_withholds_the_text() -> None:
    with pytest.raises(ScrubberUnavailable) as caught:
        scrub_bundle({"t": "abcdefghijklmnopqrstuvwxyz"}, Restless())

    assert "abc" not in str(caught.value)


SENTENCES = st.sampled_from(
    [
        "Mr. Smith", "John A. Smith, 94 yo", "SMITH, JOHN (MRN 4827193)", "call 555-123-4567 ",
        "12 Oak St", "Springfield, IL 62704", "on 01/02/1931", "a@b.org", "[PERSON_1]", "[DATE_2]",
        "de la", "Dr.", "MRN:", "SSN 234-25-6942", "age", "97", "May", "\u200b", "\uff11", "é",
        "&#49;",
        ", ", "\n", " ", ".", "IP 10.0.0.1", "www.x.com", "#", "'s", "-", "(", "4827193", "Smith",
    ]
)  # fmt: skip
TEXTS = st.lists(st.one_of(SENTENCES, st.text(max_size=6)), max_size=14).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), TEXTS, max_size=3))
def test_scrubbing_twice_changes_nothing_and_keeps_the_keys(fields: dict[str, str]) -> None:
    once = scrub_bundle(fields, DETECTOR)

    twice = scrub_bundle(once.fields, DETECTOR)

    assert once.fields.keys() == fields.keys()
    assert twice.fields == once.fields
    assert twice.mapping == {}
    assert all(PLACEHOLDER.fullmatch(placeholder) for placeholder in once.mapping)
    assert set(once.counts) <= set(TYPES)


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_spans_are_ordered_disjoint_and_inside_the_text(text: str) -> None:
    spans = DETECTOR.detect(text)

    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= s.start < s.end <= len(text) for s in spans)


@pytest.mark.parametrize(
    "piece", ["A", "1 ", "1-", "Aa ", "Ab C. ", "MRN # no is ", "a.b@", "e\u0301"]
)
def test_long_adversarial_text_comes_to_an_end(piece: str) -> None:
    text = (piece * 100_000)[:100_000]

    spans = DETECTOR.detect(text)

    assert all(span.end <= len(text) for span in spans)

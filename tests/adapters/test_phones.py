"""National telephone numbers and dates without a label, and the figures that are neither."""

import pytest

from radiant_dagster.adapters.detectors import detector_of
from radiant_dagster.domain.phi import scrub_bundle

DETECTOR = detector_of("rules", "")


def masked(text: str) -> set[tuple[str, str]]:
    bundle = scrub_bundle({"text": text}, DETECTOR)
    return {(p[1 : p.rindex("_")], value) for p, value in bundle.mapping.items()}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It was 030/901820 then.", "030/901820"),
        ("Try 06 12 34 56 78 after six", "06 12 34 56 78"),
        ("0699 868 88 55 is hers", "0699 868 88 55"),
        ("040-654 321 please", "040-654 321"),
        ("(08) 9123 4567 is the clinic", "(08) 9123 4567"),
        ("11 98765-4321 is his", "11 98765-4321"),
        ("(212) 5550100 rings", "(212) 5550100"),
        ("(0)20 7946 0958", "(0)20 7946 0958"),
    ],
)
def test_a_national_number_needs_no_label(text: str, number: str) -> None:
    assert masked(text) == {("PHONE", number)}


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("left on 14MAR1962 early", "14MAR1962"),
        ("left 1962-Mar-14 early", "1962-Mar-14"),
        ("seen 20200103 again", "20200103"),
        ("seen 12 de marzo de 2020 again", "12 de marzo de 2020"),
        ("seen 5. Mai 2021 again", "5. Mai 2021"),
        ("seen May '19 again", "May '19"),
        ("seen 05/2021 again", "05/2021"),
        ("founded in 1977.", "1977"),
        ("born 1962 there", "1962"),
    ],
)
def test_a_date_is_found_in_each_usual_form(text: str, date: str) -> None:
    assert masked(text) == {("DATE", date)}


@pytest.mark.parametrize(
    "text",
    [
        "Dose 10 20 30 mg, WBC 12 300 000, ratio 120 80 96.",
        "Platelets 243 000 then 81 000 and 65 000.",
        "BP 120 80 then 118 76 then 121 79; titer 1/2048.",
        "Viral load 20200103 copies/mL; 0.5 - 1.25 mg; 0-10 scale; 05 06 07.",
        "ISBN 978-3-16-148410-0 and NDC 00093-7214-01.",
        "Potassium 3.5-5.1, ferritin (30) 400 ng, creatinine 0.91 0.88 0.92.",
        "In 2000 patients, of 1990 units, by 2050 mL, since 1999.5.",
    ],
)
def test_laboratory_values_are_neither_numbers_to_call_nor_dates(text: str) -> None:
    assert scrub_bundle({"text": text}, DETECTOR).fields["text"] == text

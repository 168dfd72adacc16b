"""What can be computed of the style sheet: contrast in light and dark, and what it asks for."""

import re
from importlib.resources import files

import pytest

from radiant_dagster.domain.phi import TYPES
from radiant_dagster.mission_control.words import ACTIONS, REASONS, parts

CSS = (files("radiant_dagster.mission_control") / "static" / "mission-control.css").read_text()
PALETTES = {
    name: dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    for name, block in zip(
        ("light", "dark"), re.findall(r":root \{(.*?)\}", CSS, re.S), strict=True
    )
}
PAIRS = [
    *((ink, ground) for ink in ("ink", "soft", "accent") for ground in ("page", "card", "sunk")),
    ("on-accent", "accent"), ("chip", "chip-wash"),
    *((name, f"{name}-wash") for name in ("good", "warn", "bad")),
    *((name, ground) for name in ("good", "warn", "bad") for ground in ("card", "sunk")),
]  # fmt: skip


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_by_weak_eyes(scheme: str) -> None:
    palette = PALETTES[scheme]

    found = {pair: contrast(palette[pair[0]], palette[pair[1]]) for pair in PAIRS}

    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}
    # What bounds a field or button has to stand out less than text, but it has to.
    assert contrast(palette["edge"], palette["card"]) >= 3


def test_the_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_both_schemes_name_the_same_colours_and_no_other_is_used() -> None:
    used = set(re.findall(r"var\(--([a-z-]+)\)", CSS))

    assert PALETTES["light"].keys() == PALETTES["dark"].keys()
    assert used == PALETTES["light"].keys()


def test_focus_is_visible_and_motion_is_asked_about() -> None:
    assert ":focus-visible { outline: 3px solid var(--accent)" in CSS
    animated = CSS.index("animation:")
    assert "prefers-reduced-motion: no-preference" in CSS[:animated]
    assert "transition" not in CSS


def test_no_other_server_is_asked_for_anything() -> None:
    assert not re.search(r"@import|url\(|https?:", CSS)


@pytest.mark.parametrize("kind", TYPES)
def test_every_kind_of_redaction_becomes_a_chip(kind: str) -> None:
    found = parts(f"Ask [{kind}_12].")

    assert [part.text for part in found] == ["Ask ", f"[{kind}_12]", "."]
    assert found[1].chip == f"{kind.replace('_', ' ').lower()} 12"


def test_what_only_looks_like_a_redaction_is_text() -> None:
    assert [part.chip for part in parts("[NOTE_1] <b>[PERSON_x]</b>")] == [""]
    assert parts("") == parts(None) == []


def test_reviewers_read_no_codes() -> None:
    assert not any("_" in words or "cato" in words.lower() for words in REASONS.values())
    assert not any("." in words for words in ACTIONS.values())

import uuid

from radiant_dagster.domain.selection import Candidate, exact_tokens, select


def candidate(number: int, **changes: object) -> Candidate:
    vector = tuple(float(n == number) for n in range(9))
    values = {
        "id": uuid.UUID(int=number),
        "polarity": "do",
        "trigger_pattern": f"trigger {number}",
        "action_template": f"action {number}",
        "similarity": 0.9,
        "confidence": 0.5,
        "embedding": vector,
    }
    return Candidate(**(values | changes))  # type: ignore[arg-type]


def test_of_a_chain_of_pairs_the_lesser_give_way_to_what_is_offered_alone() -> None:
    best, middle, last = (candidate(n, confidence=0.9 - n / 10) for n in range(3))
    pairs = {frozenset((best.id, middle.id)), frozenset((middle.id, last.id))}

    offered = select([last, middle, best], floor=0.5, rivals=pairs)

    # The last one's only rival is not offered, so nothing speaks against it.
    assert {item.id for item in offered} == {best.id, last.id}


def test_a_changed_text_is_not_offered_and_does_not_push_its_rival_out() -> None:
    changed, rival = candidate(1, confidence=0.9, unchanged=False), candidate(2)
    pairs = {frozenset((changed.id, rival.id))}

    offered = select([changed, rival], floor=0.5, rivals=pairs)

    assert [item.id for item in offered] == [rival.id]


def test_exact_tokens_are_words_with_digits_or_hyphens() -> None:
    text = "Is X-Ray of M54.5 due under 12-104, or co-trimoxazole 960mg? At 5 or 10: M54.5."

    assert exact_tokens(text) == ("x-ray", "m54.5", "12-104", "co-trimoxazole", "960mg")


def test_a_shared_token_lifts_a_fit_and_never_lowers_one() -> None:
    far, near = candidate(1, similarity=0.45), candidate(2, similarity=0.95)

    assert candidate(1, similarity=0.45, tokens=1.0).fit > 0.5 > far.fit
    assert candidate(2, similarity=0.95, tokens=0.1).fit == near.fit

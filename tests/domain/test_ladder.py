"""The ladder: what gives way first, what never does, and that everything given up is told."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.adapters.tenants import SEED_POLICIES
from radiant_dagster.domain.cheaper import CHEAPER_MODELS, find_cycle, is_cheaper
from radiant_dagster.domain.governor import SessionEstimate, estimate_session
from radiant_dagster.domain.ladder import (
    Rung,
    Start,
    describe,
    fewest_agents,
    ladder,
    next_rung,
    plan_table,
    starting_rung,
)
from radiant_dagster.domain.price_list import CHECKED_IN, PriceTable
from radiant_dagster.domain.sessions import DomainPolicy
from radiant_dagster.domain.swarm import AgentConfig, quorum

POLICIES = {policy.name: policy for policy in SEED_POLICIES}
GENERAL, MEDICAL = POLICIES["general"], POLICIES["medical"]
AS_ASKED = Start(None, ())
SIMPLE = "How long do vaccines keep cold?"


def estimate(agents: Sequence[AgentConfig], prices: PriceTable = CHECKED_IN) -> SessionEstimate:
    return estimate_session(agents, 400, 0, "gpt-4o", "gpt-4o-mini", prices=prices)


def swarm(
    number: int, *, max_tokens: int = 2_048, model: str = "gpt-4o"
) -> tuple[AgentConfig, ...]:
    return tuple(
        AgentConfig(f"a{n}", f"role {n}", model, max_tokens=max_tokens) for n in range(number)
    )


def rungs_of(
    asked: Sequence[AgentConfig],
    policy: DomainPolicy = GENERAL,
    *,
    start: Start = AS_ASKED,
    bought: frozenset[str] = frozenset(),
    cheaper: Mapping[str, str] = CHEAPER_MODELS,
) -> tuple[Rung, ...]:
    return ladder(asked, policy, estimate, cheaper, start=start, bought=bought)


agents = st.lists(
    st.tuples(
        st.sampled_from(["analyst", "skeptic", "Skeptic ", "judge"]),
        st.sampled_from(["gpt-4", "gpt-4o", "gpt-4o-mini", "claude-opus-5-5", "mistral-small"]),
        st.integers(1, 32_768),
    ),
    min_size=1,
    max_size=12,
).map(
    lambda drawn: tuple(
        AgentConfig(f"a{n}", role, model, max_tokens=tokens)
        for n, (role, model, tokens) in enumerate(drawn)
    )
)
policies = st.builds(
    replace,
    st.just(GENERAL),
    lowest_max_tokens=st.integers(1, 4_096),
    lowest_agents=st.integers(1, 8),
    cheaper_models=st.booleans(),
)


@given(asked=agents, policy=policies, cap=st.none() | st.integers(1, 4_096), data=st.data())
def test_no_rung_goes_below_a_floor_or_the_quorum_and_each_costs_less_than_the_one_before(
    asked: tuple[AgentConfig, ...], policy: DomainPolicy, cap: int | None, data: st.DataObject
) -> None:
    bought = frozenset(data.draw(st.sets(st.sampled_from([agent.agent_id for agent in asked]))))
    by_id = {agent.agent_id: agent for agent in asked}

    rungs = rungs_of(asked, policy, start=Start(cap, ("simple",)), bought=bought)

    costs = [rung.cost_micro_usd for rung in rungs]
    assert costs == sorted(set(costs), reverse=True)
    for rung in rungs:
        assert rung.cost_micro_usd == estimate(rung.agents).total_micro_usd
        assert len(rung.agents) >= min(len(asked), max(2, policy.lowest_agents))
        assert len(rung.agents) >= quorum(len(asked))
        for agent in rung.agents:
            before = by_id[agent.agent_id]
            assert agent.max_tokens >= min(before.max_tokens, policy.lowest_max_tokens)
            assert agent.max_tokens <= before.max_tokens
            if not policy.cheaper_models:
                assert agent.model == before.model
            assert agent == replace(before, model=agent.model, max_tokens=agent.max_tokens)
            if agent.agent_id in bought:
                assert agent == before
        assert bought.isdisjoint(rung.dropped)


@given(asked=agents, policy=policies)
def test_every_difference_is_recorded_with_its_reason_and_nothing_else(
    asked: tuple[AgentConfig, ...], policy: DomainPolicy
) -> None:
    for rung in rungs_of(asked, policy, start=Start(1_024, ("simple",))):
        told = {(item.agent_id, item.what): item for item in rung.downgrades}
        given_now = {agent.agent_id: agent for agent in rung.agents}

        expected: set[tuple[str, str]] = set()
        for agent in asked:
            now = given_now.get(agent.agent_id)
            if now is None:
                expected.add((agent.agent_id, "agent"))
                continue
            if now.model != agent.model:
                expected.add((agent.agent_id, "model"))
            if now.max_tokens != agent.max_tokens:
                expected.add((agent.agent_id, "max_tokens"))
        assert set(told) == expected
        assert len(told) == len(rung.downgrades)
        assert all(item.why in (("budget",), ("simple",)) for item in rung.downgrades)
        assert {item.agent_id for item in rung.downgrades if item.what == "agent"} == set(
            rung.dropped
        )


def test_tokens_give_way_before_models_and_models_before_agents() -> None:
    rungs = rungs_of(swarm(5, max_tokens=1_000))

    steps = [
        (
            max(agent.max_tokens for agent in rung.agents),
            {agent.model for agent in rung.agents},
            len(rung.agents),
        )
        for rung in rungs
    ]
    assert steps == [
        (1_000, {"gpt-4o"}, 5),
        (500, {"gpt-4o"}, 5),
        (256, {"gpt-4o"}, 5),
        (256, {"gpt-4o-mini"}, 5),
        (256, {"gpt-4o-mini"}, 4),
        (256, {"gpt-4o-mini"}, 3),
    ]


def test_a_medical_question_keeps_its_models_its_tokens_and_three_agents() -> None:
    rungs = rungs_of(swarm(4, max_tokens=2_048), MEDICAL)

    last = rungs[-1]
    assert {agent.model for agent in last.agents} == {"gpt-4o"}
    assert {agent.max_tokens for agent in last.agents} == {1_024}
    assert len(last.agents) == 3


@pytest.mark.parametrize(
    ("asked", "floor", "fewest"), [(1, 3, 1), (2, 3, 2), (3, 2, 2), (5, 2, 3), (5, 4, 4), (9, 1, 5)]
)
def test_the_fewest_agents_are_the_larger_of_quorum_and_floor(
    asked: int, floor: int, fewest: int
) -> None:
    policy = replace(GENERAL, lowest_agents=floor)

    assert fewest_agents(asked, policy) == fewest


def test_a_role_that_others_have_too_goes_first_and_the_last_of_the_panel_next() -> None:
    roles = ("analyst", "skeptic", "analyst", "judge", "clerk")
    asked = tuple(
        AgentConfig(f"a{n}", role, "gpt-4o-mini", max_tokens=100) for n, role in enumerate(roles)
    )

    rungs = rungs_of(asked)

    assert [rung.dropped for rung in rungs] == [(), ("a2",), ("a2", "a4")]


def test_an_agent_keeps_its_model_where_the_cheaper_one_may_fall_back_to_a_dearer_one() -> None:
    prices = replace(CHECKED_IN, fallbacks={"gpt-4o-mini": ("gpt-5.4",)})
    asked = tuple(
        AgentConfig(f"a{n}", "analyst", model, max_tokens=100)
        for n, model in enumerate(("gpt-4o", "claude-opus-5-5"))
    )

    rungs = ladder(
        asked,
        GENERAL,
        lambda agents: estimate(agents, prices),
        CHEAPER_MODELS,
        start=AS_ASKED,
    )

    assert [agent.model for agent in rungs[-1].agents] == ["gpt-4o", "claude-haiku-5-5"]


def test_a_refusal_skips_what_saves_too_little_and_names_the_least_at_the_end() -> None:
    rungs = rungs_of(swarm(5))
    saves = [rungs[0].cost_micro_usd - rung.cost_micro_usd for rung in rungs]

    assert next_rung(rungs, 0, saves[2]) == 2
    assert next_rung(rungs, 0, saves[2] + 1) == 3
    assert next_rung(rungs, 0, 10**12) == len(rungs) - 1
    assert next_rung(rungs, len(rungs) - 1, 1) is None


def test_a_short_plain_question_starts_with_shorter_answers_and_says_why() -> None:
    start = starting_rung(SIMPLE, documents={}, policy=GENERAL, from_panel=True)

    rungs = rungs_of(swarm(3), start=start)

    assert start == Start(1_024, ("short_question", "no_documents", "low_risk"))
    assert {agent.max_tokens for agent in rungs[0].agents} == {1_024}
    assert {item.why for item in rungs[0].downgrades} == {start.reasons}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prompt": "x" * 401}, "long_question"),
        ({"prompt": "What is it? And why?"}, "several_questions"),
        ({"prompt": "If a, b, c, d, e, f, g, then what?"}, "many_clauses"),
        ({"documents": {"contract.txt": "text"}}, "documents"),
        ({"policy": MEDICAL}, "domain_not_routed"),
        ({"policy": replace(GENERAL, approval_required=True)}, "domain_not_routed"),
        ({"policy": replace(GENERAL, cheaper_models=False)}, "domain_not_routed"),
        ({"from_panel": False}, "agents_spelled_out"),
    ],
)
def test_one_sign_of_difficulty_leaves_everything_as_it_was_asked(
    changes: dict[str, object], reason: str
) -> None:
    asked: dict[str, object] = {
        "prompt": SIMPLE,
        "documents": {},
        "policy": GENERAL,
        "from_panel": True,
    }

    start = starting_rung(**(asked | changes))  # type: ignore[arg-type]

    assert start == Start(None, (reason,))


def test_the_starting_cap_does_not_go_below_the_domains_floor() -> None:
    policy = replace(GENERAL, lowest_max_tokens=1_500)

    rungs = rungs_of(swarm(2), policy, start=Start(1_024, ("simple",)))

    assert [agent.max_tokens for agent in rungs[0].agents] == [1_500, 1_500]


def test_what_was_given_up_is_told_in_sentences() -> None:
    (*_, last) = rungs_of(swarm(5, max_tokens=1_000))

    lines = describe([item.to_dict() for item in last.downgrades], 5)

    assert lines == (
        "2 of 5 agents were not asked: budget (a3, a4).",
        "Reduced: a0, a1, a2: gpt-4o-mini instead of gpt-4o (budget).",
        "Reduced: a0, a1, a2: 256 tokens an answer instead of 1000 (budget).",
    )


def test_a_models_name_makes_no_cells_of_its_own_in_the_table() -> None:
    row = {
        "agent_id": "a",
        "model": "own | model\nx",
        "max_tokens": 5,
        "downgraded_from": {"model": "gpt-4o", "max_tokens": 9},
        "error_code": None,
    }

    table = plan_table([row, {**row, "error_code": "budget", "downgraded_from": None}])

    assert table.splitlines()[2:] == [
        "a | gpt-4o | 9 | own / model x | 5",
        "a | own / model x | 5 | not asked (budget) | 0",
    ]


def test_every_built_in_cheaper_model_is_priced_and_cheaper_for_any_call() -> None:
    wrong = [
        model for model, other in CHEAPER_MODELS.items() if not is_cheaper(model, other, CHECKED_IN)
    ]

    assert wrong == []
    assert find_cycle(CHEAPER_MODELS) is None


def test_a_circle_of_cheaper_models_is_found() -> None:
    cycle = find_cycle({"a": "b", "b": "c", "c": "b"})

    assert cycle == ("b", "c", "b")

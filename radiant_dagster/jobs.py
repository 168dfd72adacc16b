"""The two jobs and the graph they share.

think_tank                open_session -> consult_grimoire -> plan_agents -> fan_out
                          -> run_agent x N -> gather_answers -> synthesize -> check_epistemics
                          -> gate -> request_approval   (a person decides; the run ends)
                                '--> conclude           (nobody has to)
synthesis_and_librarian   claim_decision -> conclude
conclude                  finalize_synthesis -> librarian_review -> close_session
"""

import dagster as dg

from radiant_dagster.engine.executor import threaded_executor
from radiant_dagster.ops.approval import claim_decision, gate, request_approval
from radiant_dagster.ops.calibration import calibrate_floors
from radiant_dagster.ops.consult import consult_grimoire, open_inline_session, open_session
from radiant_dagster.ops.events import forget_old_events
from radiant_dagster.ops.librarian import close_session, librarian_review
from radiant_dagster.ops.swarm import fan_out, gather_answers, plan_agents, run_agent
from radiant_dagster.ops.synthesis import check_epistemics, finalize_synthesis, synthesize

# Where the worker was lost, and only then. Not for the continuation: its decision is given back and
# dispatched again by the sensors, and a second way would be a second run of one decision.
RETRY_LOST_RUNS = {
    "dagster/max_retries": "2",
    "dagster/retry_strategy": "FROM_FAILURE",
    "dagster/retry_on_asset_or_op_failure": "false",
}


@dg.graph(
    description="Carry out what was decided, learn from it, close the session. Both jobs end here."
)
def conclude(ref):
    """Finalize, learn, close."""
    close_session(librarian_review(finalize_synthesis(ref)))


def think_tank_graph(opening: dg.OpDefinition) -> dg.GraphDefinition:
    """Compose the first job's graph.

    Args:
        opening: `open_session`, or `open_inline_session` where prompts may be typed into Dagit.
    """

    @dg.graph(name="think_tank")
    def think_tank() -> None:
        plan = plan_agents(consult_grimoire(opening()))
        answers = fan_out(plan).map(run_agent).collect()
        review, direct = gate(check_epistemics(synthesize(gather_answers(plan, answers))))
        request_approval(review)
        conclude(direct)

    return think_tank


def build_think_tank(*, inline_prompts: bool) -> dg.JobDefinition:
    """Build the first job.

    Args:
        inline_prompts: Offer a `prompt` field in the Launchpad. Off, the field does not exist, so
            Dagster refuses a config that carries one before it stores it.
    """
    opening = open_inline_session if inline_prompts else open_session
    return think_tank_graph(opening).to_job(
        name="think_tank",
        description="One Think Tank session: consult the Grimoire, run the agents in parallel, "
        "synthesise, check, and either finish or put the draft before a person. Run config holds "
        "ids only; create sessions with `radiant think`.",
        executor_def=threaded_executor,
        tags={"radiant/job": "think_tank", **RETRY_LOST_RUNS},
    )


@dg.job(
    description="Carries out a decision on a draft: the answer is released, rewritten or dropped, "
    "the Librarian learns, the session is closed. Launched by whoever decided, or else by "
    "`approval_sensor`; launching it by hand for a decided approval is safe, since one run alone "
    "can claim the decision.",
    executor_def=threaded_executor,
    tags={"radiant/job": "synthesis_and_librarian"},
)
def synthesis_and_librarian() -> None:
    """Carry out a decision."""
    conclude(claim_decision())


@dg.job(
    description="Measures how alike a question has to be to a heuristic, for every embedding "
    "model, from outcomes over all tenants. Shows the floors; writes them with `apply: true`. The "
    "same as `radiant grimoire calibrate`. Safe to run at any time.",
    executor_def=threaded_executor,
)
def grimoire_calibrate() -> None:
    """Measure the similarity floors."""
    calibrate_floors()


@dg.job(
    description="Deletes events older than RADIANT_EVENT_DAYS (90) with their deliveries, over all "
    "tenants. What somebody still has to be told of stays. Safe to run at any time.",
    executor_def=threaded_executor,
)
def event_maintenance() -> None:
    """Delete old events."""
    forget_old_events()

"""How ops of a session fail: with a code, never with content, and never half-recorded.

`session_op` is `dg.op` plus one guard around the body. A transient error is retried, then fails
the step; a permanent one fails it at once; anything unexpected is reported by its type and place
alone, because the message of a driver or validator may quote a prompt. In each case the session
is marked `failed` with the code, so that callers see it without Dagit.
"""

import functools
import inspect
import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import dagster as dg

from radiant_dagster.adapters import ledger, sessions
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.swarm import retry_wait_seconds
from radiant_dagster.errors import (
    BudgetExceeded,
    Cancelled,
    LlmUnavailable,
    RadiantError,
    StateError,
    TransientError,
)

STEP_RETRIES = 2
STEP_RETRY_SECONDS = 1
MAX_WAIT_SECONDS = 20.0  # a provider that asks for more is given up for this session instead

Ref = dict[str, str]
"""Ids that ops hand on: `tenant_id`, `session_id` and, for an agent, `agent_id`."""


def ref_of(tenant_id: UUID, session_id: UUID) -> Ref:
    """Return the ids of a session as they travel between ops."""
    return {"tenant_id": str(tenant_id), "session_id": str(session_id)}


def ids(ref: Ref) -> tuple[UUID, UUID]:
    """Return tenant id and session id."""
    return UUID(ref["tenant_id"]), UUID(ref["session_id"])


def session_op(**options: Any) -> Callable[[Callable[..., Any]], dg.OpDefinition]:
    """Make an op whose first input is `ref` and that takes the resource `database`."""

    def decorate(function: Callable[..., Any]) -> dg.OpDefinition:
        signature = inspect.signature(function)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def guarded_generator(context: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
                with _guard(context, signature.bind(context, *args, **kwargs).arguments):
                    yield from function(context, *args, **kwargs)

            return dg.op(**options)(guarded_generator)

        @functools.wraps(function)
        def guarded(context: Any, *args: Any, **kwargs: Any) -> Any:
            with _guard(context, signature.bind(context, *args, **kwargs).arguments):
                return function(context, *args, **kwargs)

        return dg.op(**options)(guarded)

    return decorate


@contextmanager
def _guard(context: dg.OpExecutionContext, arguments: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except (dg.Failure, dg.RetryRequested):
        raise
    except TransientError as error:
        if context.retry_number < STEP_RETRIES:
            raise dg.RetryRequested(STEP_RETRIES, STEP_RETRY_SECONDS) from None
        raise failure(arguments, error) from None
    except RadiantError as error:
        raise failure(arguments, error) from None
    except Exception as error:  # noqa: BLE001 - a boundary: what leaves here ends in Dagster's log
        raise failure(arguments, _Unexpected(error)) from None


def retry_model_call(
    context: dg.OpExecutionContext,
    error: LlmUnavailable,
    max_retries: int,
    *,
    within_seconds: float = MAX_WAIT_SECONDS,
) -> None:
    """Have the step run again after a passing fault of a model, else return.

    Args:
        max_retries: How often the step may run again.
        within_seconds: Time left; a longer wait is not worth it.
    """
    wait = retry_wait_seconds(
        error.retry_after_seconds,
        context.retry_number,
        jitter=random.random(),  # noqa: S311
    )
    if context.retry_number < max_retries and wait < min(MAX_WAIT_SECONDS, within_seconds):
        raise dg.RetryRequested(max_retries, wait) from None


class _Unexpected(RadiantError):
    """A bug: its message is dropped, its type and place are kept."""

    code = "unexpected"

    def __init__(self, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "radiant_dagster" in f.filename] or frames[-1:]
        place = f"{ours[-1].filename.rsplit('/', 1)[-1]}:{ours[-1].lineno}" if ours else "?"
        super().__init__(
            f"Unexpected {type(error).__name__} at {place}. Its message is left out because it "
            "could quote content. This is a bug in RADIANT."
        )


def failure(arguments: dict[str, Any], error: RadiantError) -> dg.Failure:
    """Mark the session as failed and return the error that Dagster shows."""
    ref, resource = arguments.get("ref"), arguments.get("database")
    # Wrong order of steps says nothing about the session, and a cancelled one stays cancelled.
    if ref is not None and resource is not None and not isinstance(error, StateError | Cancelled):
        mark_failed(resource.database, ref, error)
    return dg.Failure(description=str(error), metadata={"code": error.code}, allow_retries=False)


def mark_failed(database: Database, ref: Ref, error: RadiantError) -> None:
    """Record why a session failed; a database that is away leaves it to the failure sensor."""
    tenant_id, session_id = ids(ref)
    try:
        with database.tenant_transaction(tenant_id) as cursor:
            sessions.advance(
                cursor,
                tenant_id,
                session_id,
                "failed",
                failure_code=error.code,
                failure_message=str(error),
            )
            if isinstance(error, BudgetExceeded):
                ledger.note_refusal(cursor, tenant_id, session_id, error)
        ledger.book(database, tenant_id, session_id)
    except RadiantError:
        return

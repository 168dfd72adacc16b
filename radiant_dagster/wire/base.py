"""The two kinds of documents, and what all of them share.

Requests are strict: a name nobody knows is a mistake that has to be told. Answers may grow, so that
an older client goes on working. Limits repeat those of the domain, which stays the judge; a test
compares them.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

MAX_PAGE = 200


def _in_utc(at: datetime) -> datetime:
    """Offsets up to a day are valid RFC 3339, but databases know fewer."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("time is out of range") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Request(BaseModel):
    """A body or a query that somebody sends."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Answer(BaseModel):
    """A document that we send."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)


class Problem(Answer):
    """Why a request was refused (RFC 9457, application/problem+json)."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    type: str = Field(description="urn:radiant:problem: and the code.")
    title: str = Field(description="The same for every problem of this code.")
    status: int
    detail: str = Field(description="What happened this time, and what to do.")
    instance: str
    code: str = Field(description="For programs.")
    request_id: str = Field(description="Under which the server's log knows it.")
    field: str | None = Field(None, description="Which value is wrong.")
    fix: str | None = Field(None, description="What to pass instead.")


class Ids(Answer):
    """Ids that begin with some characters, at most four."""

    ids: list[UUID]


class PrefixQuery(Request):
    """The beginning of an id."""

    prefix: str = Field(
        pattern=r"^[0-9a-f][0-9a-f-]{5,35}$", description="Its first 6 or more characters."
    )


class Me(Answer):
    """Whose credential it is, and what that may do."""

    id: UUID
    name: str
    kind: str
    roles: list[str]
    domains: list[str] | None = Field(description="Qualified for these; null: for all.")
    permissions: list[str]


Json = dict[str, Any]

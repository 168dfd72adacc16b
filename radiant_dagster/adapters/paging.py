"""Where a page of rows ended, so that the next one begins there whatever was inserted meanwhile."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from radiant_dagster.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Place:
    """The time and id of a page's last row. Opaque to clients as ``text``.

    Args:
        at: What the rows are ordered by.
        id: Decides between rows of one time.
    """

    at: datetime
    id: UUID

    @property
    def text(self) -> str:
        """Return the place as a word for a URL."""
        return f"{self.at.isoformat()}~{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Return the place that a client gave back.

        Raises:
            InvalidInput: It is none of ours.
        """
        at, _, identifier = text.partition("~")
        try:
            when = datetime.fromisoformat(at)
            # In UTC: a client may spell offsets that Postgres does not know.
            place = cls(when.astimezone(UTC), UUID(identifier)) if when.tzinfo else None
        except (ValueError, OverflowError):
            place = None
        if place is None:
            raise InvalidInput("cursor", "is not one that a page returned", "Begin without one.")
        return place

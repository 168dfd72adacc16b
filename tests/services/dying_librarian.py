"""A Librarian that dies by SIGKILL once its lesson is embedded and before anything is stored.

`python -m tests.services.dying_librarian DATABASE_URL MODEL_URL TENANT SESSION`
"""

import os
import signal
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace

from radiant_dagster.adapters.embeddings import MiniLmEmbeddings
from radiant_dagster.adapters.postgres import Database
from tests.adapters.librarian_desk import Desk
from tests.services.llm_server import LlmServer


class DiesWithTheVector:
    """Embeds like the real model, then ends its process as a power cut would."""

    def __init__(self) -> None:
        self.model = MiniLmEmbeddings()
        self.model_id = self.model.model_id
        self.dimensions = self.model.dimensions

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.model.embed(texts)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    def embed_one(self, text: str) -> list[float]:
        return self.embed([text])[0]


def main(database_url: str, model_url: str, tenant: str, session_id: str) -> None:
    """Review the session and die."""
    models = LlmServer()  # never started: the one that the test runs is asked
    models.url = model_url
    desk = Desk(Database(database_url), models, uuid.UUID(tenant))
    librarian = replace(desk.librarian(), embeddings=DiesWithTheVector())
    desk.review(uuid.UUID(session_id), "approved", librarian=librarian)


if __name__ == "__main__":
    main(*sys.argv[1:])

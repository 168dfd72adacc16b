"""What may be shown of an answer while an agent still writes it.

Such text is unchecked: no other agent, no synthesis, no Cato and no person has looked at it. Where
a person has to decide before anybody gets an answer, showing the agents' drafts to the one who
asked would be a way around that person.
"""

from radiant_dagster.domain.sessions import DomainPolicy

KEPT_CHARACTERS = 400  # of the end of a text: more than a terminal's line
CHARACTERS_PER_TOKEN = 4  # of English; only for showing how much has been written


def text_may_be_shown(*, requested: bool, policy: DomainPolicy) -> bool:
    """Tell whether agents' drafts may be shown to the one who asked.

    Args:
        requested: The caller asked for approval.
        policy: The policy of the session's domain.

    Returns:
        False where a review is certain beforehand; only the number of tokens is shown then.
    """
    return not (requested or policy.approval_required)


def tokens_so_far(characters: int) -> int:
    """Return about how many tokens a text has."""
    return -(-characters // CHARACTERS_PER_TOKEN)

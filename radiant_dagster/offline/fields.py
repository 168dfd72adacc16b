"""The few general things the demo model says about each field, none of them advice."""

from dataclasses import dataclass

from radiant_dagster.offline.words import stems


@dataclass(frozen=True, slots=True)
class Field:
    """Building blocks of answers.

    Args:
        words: Words that belong to the field.
        facts: Noun phrases: what decides the question.
        steps: Infinitives: what is done, in order.
        harms: Infinitives: what a wrong answer could do.
        check: Imperative: how to notice trouble.
        person: Who decides in doubt.
        stop: When to stop.
        cost: What the first step costs.
    """

    words: str
    facts: tuple[str, str, str]
    steps: tuple[str, str, str]
    harms: tuple[str, str]
    check: str
    person: str
    stop: str
    cost: str


FIELDS = {
    "medical": Field(
        "medical patient patients doctor clinic clinical hospital nurse medication medicine drug "
        "drugs dose dosage symptom symptoms pain fever blood pressure diabetes diabetic insulin "
        "pregnant surgery diagnosis treatment therapy antibiotic allergy allergic warfarin "
        "ibuprofen metformin heart kidney liver chest vaccine child infant elderly discharge",
        (
            "the current medication and allergies",
            "kidney and liver function",
            "how fast the symptoms change",
        ),
        (
            "take the history and list every medicine in use",
            "check contraindications and interactions before changing anything",
            "agree on a follow-up date and on who is called if things get worse",
        ),
        ("delay care that is needed", "cause an interaction nobody looked for"),
        "write down the warning signs and who to call",
        "the treating clinician",
        "a warning sign appears",
        "one careful conversation",
    ),
    "financial": Field(
        "financial finance money invest investment investing savings loan mortgage debt credit "
        "budget portfolio stock stocks bond bonds fund funds pension retirement tax interest rate "
        "revenue cash pricing price cost bank insurance inflation salary treasury invoice",
        (
            "how long the money can stay tied up",
            "the fees and taxes after all",
            "how large a loss could be borne",
        ),
        (
            "set aside the reserve that must not be touched",
            "compare the options after fees, tax and the worst plausible year",
            "move in stages and review after each one",
        ),
        ("lock up money that is needed soon", "hide a loss behind an average return"),
        "write down beforehand the loss at which the plan ends",
        "a licensed adviser",
        "the agreed limit is reached",
        "an afternoon with the statements",
    ),
    "legal": Field(
        "legal law lawyer contract clause liability lawsuit court sue license licence gdpr privacy "
        "compliance regulation regulatory terms agreement lease tenant landlord dismissal employee "
        "employment copyright trademark patent consent notice deadline breach statute",
        (
            "which law governs and since when",
            "the exact wording that was agreed",
            "the deadlines that are already running",
        ),
        (
            "collect the documents and note every deadline",
            "read the exact wording against the rule that governs it",
            "get advice in writing before anything is signed or sent",
        ),
        ("let a deadline pass", "concede a point in writing by mistake"),
        "keep a dated record of every step",
        "a lawyer admitted there",
        "the other side sets a deadline",
        "an hour of reading",
    ),
    "technical": Field(
        "software code system database server deploy deployment release rollout migrate migration "
        "api cloud kubernetes latency cache queue bug incident outage backup data pipeline model "
        "security service services test tests monitoring postgres index query cluster network "
        "architecture monolith microservices feature flag version upgrade downtime",
        (
            "the load and its peaks",
            "what still depends on the old behaviour",
            "how quickly a change can be undone",
        ),
        (
            "measure today's behaviour, so that a change can be judged",
            "try the change on a small share with a way back",
            "widen it step by step while the measurements hold",
        ),
        ("lose data that no backup holds", "break a dependant nobody listed"),
        "rehearse the way back before it is needed",
        "the owner of the service",
        "an error rate leaves its usual band",
        "about a day of work",
    ),
    "general": Field(
        "",
        (
            "what success would look like",
            "who is affected and was not asked",
            "what is assumed and not known",
        ),
        (
            "write down the goal and how it will be measured",
            "try the smallest version that could prove the idea wrong",
            "decide on a fixed date with the results at hand",
        ),
        ("settle on the first idea that sounds right", "spend what cannot be got back"),
        "name one sign that would prove the plan wrong",
        "the person who bears the result",
        "that sign appears",
        "a few days",
    ),
}


def field_of(text: str, hint: str = "") -> tuple[str, Field]:
    """Return the field a text belongs to: the hint where it names one, else by its words."""
    if hint in FIELDS and hint != "general":
        return hint, FIELDS[hint]
    found = stems(text)
    scores = {name: len(found & stems(field.words)) for name, field in FIELDS.items()}
    best = max(scores, key=lambda name: scores[name])
    best = best if scores[best] else "general"
    return best, FIELDS[best]

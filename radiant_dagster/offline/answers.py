"""What the demo model answers: to an agent, to the synthesiser and to the Librarian.

Every function is pure and deterministic. The texts contain what the product has to show: the
role's voice, cited heuristics, agreement or a real conflict, grounded evidence.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from radiant_dagster.domain.extraction import HEURISTIC_SCHEMA_NAME
from radiant_dagster.domain.prompts import CITATION, SYNTHESIS_SCHEMA_NAME
from radiant_dagster.offline.fields import FIELDS, Field, field_of
from radiant_dagster.offline.tool_use import calculated
from radiant_dagster.offline.words import kind_of, listed, options, phrases, pick, sentences, stems

LABEL = "(offline demo model: not medical, legal or financial advice)"
CAREFUL = frozenset({"medical", "financial", "legal"})
RECOMMENDATION = "Recommendation: "
RISKY = stems(
    "stop double overdose skip quit sell everything borrow sue sign delete irreversible without "
    "immediately unsupervised"
)
VOICES = {
    "analyst": ("analyst", "research", "engineer", "scien", "strateg", "econom"),
    "skeptic": ("skeptic", "sceptic", "critic", "devil", "red team", "contrarian", "adversar"),
    "expert": ("expert", "specialist", "clinic", "doctor", "physician", "lawyer", "counsel",
               "adviser", "advisor", "practitioner", "pharmac"),
    "pragmatist": ("pragmat", "operat", "planner", "manager", "implement", "producer"),
    "safety": ("safety", "risk", "ethic", "compliance", "guardian", "review", "secur"),
}  # fmt: skip


class UnknownSchema(Exception):
    """A JSON schema was asked for that the demo model has no answer to."""


def reply(messages: Sequence[Mapping[str, Any]], schema_name: str | None) -> str:
    """Answer a chat request.

    Args:
        messages: ``role`` and ``content`` of each; the last user message counts.
        schema_name: Name of the JSON schema the answer has to fit.

    Raises:
        UnknownSchema: There is no answer of that shape.
    """
    texts = [m.get("content") for m in messages if m.get("role") == "user"]
    user = str(texts[-1]) if texts else ""
    document = _document(user)
    if schema_name is None:
        question = document or {"question": user}
        return calculated(messages, _texts(question, "question")) + agent_answer(question)
    if schema_name == SYNTHESIS_SCHEMA_NAME:
        return json.dumps(synthesis(document), ensure_ascii=False)
    if schema_name == HEURISTIC_SCHEMA_NAME:
        return json.dumps(heuristic(document), ensure_ascii=False)
    raise UnknownSchema(schema_name)


def question_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the question of the last user message."""
    texts = [str(m.get("content")) for m in messages if m.get("role") == "user"]
    user = texts[-1] if texts else ""
    return _texts(_document(user) or {"question": user}, "question")


def _document(text: str) -> dict[str, Any]:
    """Return the JSON object of a user message, whatever stands around it."""
    start, end = text.find("{"), text.rfind("}")
    try:
        value = json.loads(text[start : end + 1])
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _texts(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _objects(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = document.get(key)
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping)]


def voice_of(role: str) -> str:
    """Return which of the known voices a role speaks with."""
    name = role.lower()
    return next(
        (voice for voice, marks in VOICES.items() if any(mark in name for mark in marks)), "other"
    )


def agent_answer(document: Mapping[str, Any]) -> str:
    """Answer as one agent.

    Args:
        document: ``question``, ``role``, and where given ``documents`` and ``heuristics``, as
            `domain.prompts.agent_messages` builds it.
    """
    question, role = _texts(document, "question"), _texts(document, "role") or "assistant"
    name, field = field_of(question)
    topic = listed(phrases(question, 4) or ["the question as asked"])
    voice = voice_of(role)
    parts = [_opening(voice, role, topic, field)]
    parts += _from_documents(document, question)
    parts += _from_heuristics(_objects(document, "heuristics"), question)
    parts.append(RECOMMENDATION + _recommendation(question, voice, name))
    parts.append(
        f"Unsure: {field.facts[pick(question + role, 3)]}, which the question leaves open."
    )
    return " ".join(parts) + f"\n\n{LABEL}"


def _opening(voice: str, role: str, topic: str, field: Field) -> str:
    facts, steps, harms = field.facts, field.steps, field.harms
    said = {
        "analyst": f"The question comes down to {topic}. Step by step: first {steps[0]}; then "
        f"{steps[1]}; last {steps[2]}. This assumes that {facts[0]} can be established.",
        "expert": f"Two things decide on {topic}: {facts[0]}, and {facts[1]}. The usual course "
        f"is to {steps[0]}, and only then to {steps[1]}. In doubt {field.person} decides.",
        "skeptic": f"The obvious answer on {topic} skips {facts[1]}. Nothing given shows "
        f"{facts[2]}, and acting too early could {harms[0]}. I would not rely on it before that "
        "is settled.",
        "pragmatist": f"On {topic}, start small. Do first: {steps[0]}; it costs {field.cost} and "
        f"settles most of the question. What can wait: to {steps[2]}. Stop when {field.stop}.",
        "safety": f"A wrong answer on {topic} does harm in two ways. It could {harms[0]}, or "
        f"{harms[1]}; to prevent both, {field.check}. Hand over to {field.person} as soon as "
        f"{field.stop}.",
    }
    article = "an" if role[:1].lower() in "aeiou" else "a"
    other = (
        f"Seen as {article} {role}, the question of {topic} turns on {facts[pick(role, 3)]}. "
        f"I would {steps[0]}, then {steps[1]}, because a hasty answer could {harms[pick(role, 2)]}."
    )
    return said.get(voice, other)


def _from_documents(document: Mapping[str, Any], question: str) -> list[str]:
    wanted = stems(question)
    raw = document.get("documents")
    found = sentences(json.dumps(raw, ensure_ascii=False).replace("\\n", "\n")) if raw else []
    best = max(found, key=lambda sentence: len(stems(sentence) & wanted), default="")
    about = phrases(best.replace('"', " "), 3)
    return [f"The documents bear on this where they speak of {listed(about)}."] if about else []


def _from_heuristics(heuristics: Sequence[Mapping[str, Any]], question: str) -> list[str]:
    said: list[str] = []
    for item in heuristics:
        label, then = _texts(item, "label"), _texts(item, "then").strip().rstrip(".")
        fits = stems(_texts(item, "when")) & stems(question)
        if not (fits and then and CITATION.fullmatch(f"[{label}]")):
            continue
        lead = "Avoiding what an earlier review warned of" if item.get("kind") == "avoid" else (
            "Applying a lesson of an earlier review"
        )  # fmt: skip
        said.append(f"{lead} [{label}]: {then}.")
    return said


def _recommendation(question: str, voice: str, field_name: str) -> str:
    kind, choice, field = kind_of(question), options(question), FIELDS[field_name]
    if choice:
        # A choice is where panels really differ; the skeptic takes the other side.
        return f"choose {choice[1] if voice == 'skeptic' else choice[0]}."
    if kind == "yes_no" and (field_name in CAREFUL or stems(question) & RISKY):
        return f"wait until {field.person} has confirmed it."
    if kind == "yes_no":
        return "go ahead in small steps, and check the result of each."
    return f"first {field.steps[0]}, and decide on the rest with what that shows."


def synthesis(document: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the agents' answers into `domain.swarm.Synthesis`.

    Agreement is ``low`` exactly when two answers carry different recommendations.
    """
    answers = _objects(document, "answers")
    question = _texts(document, "question")
    stances = {_texts(answer, "agent_id"): _stance(_texts(answer, "answer")) for answer in answers}
    counted = Counter(stance for stance in stances.values() if stance)
    leading = counted.most_common(1)[0][0] if counted else ""
    dissent = [
        f"{agent_id} recommends otherwise: {stance}"
        for agent_id, stance in stances.items()
        if stance and stance != leading
    ]
    claims: dict[str, list[str]] = {}
    lessons: dict[str, list[str]] = {}
    for answer in answers:
        said = sentences(_texts(answer, "answer").replace(LABEL, ""))
        agent_id = _texts(answer, "agent_id")
        for lesson in (sentence for sentence in said if CITATION.search(sentence)):
            lessons.setdefault(lesson, []).append(agent_id)
        if said:
            claims.setdefault(said[min(1, len(said) - 1)][:400], []).append(agent_id)
    claims |= lessons
    topic = listed(phrases(question, 4) or ["the question"])
    lines = [f"{len(answers)} agents looked at {topic}."]
    if leading:
        lines[0] += f" Most recommend: {leading}" if dissent else f" They recommend: {leading}"
    if guidance := _texts(document, "reviewer_guidance"):
        lines.append(f"As the reviewer asked: {guidance[:600]}")
    lines.append("\n".join(f"- {text} ({', '.join(who)})" for text, who in claims.items()))
    if dissent:
        lines.append("The agents disagree. " + " ".join(dissent))
    return {
        "answer": "\n\n".join([*(line for line in lines if line), LABEL]),
        "claims": [{"text": text, "agents": who} for text, who in claims.items()],
        "dissent": dissent,
        "agreement": "low" if dissent else "high",
    }


def _stance(answer: str) -> str:
    found = [s for s in sentences(answer.replace(LABEL, "")) if s.startswith(RECOMMENDATION)]
    return found[0].removeprefix(RECOMMENDATION) if found else ""


def heuristic(document: Mapping[str, Any]) -> dict[str, Any]:
    """Distil a session into `domain.heuristics.ExtractedHeuristic`.

    Skips what has no topic, no answer, or ended without a verdict that teaches.
    """
    prompt, response = _texts(document, "prompt"), _texts(document, "response")
    outcome, domain = _texts(document, "outcome"), _texts(document, "domain")
    topic = phrases(prompt, 4, general=True)
    evidence = _evidence(prompt, response)
    if not topic or not evidence or outcome in ("expired", "failed", "cancelled"):
        return {
            "decision": "skip",
            "polarity": "do",
            "trigger_pattern": "",
            "action_template": "",
            "rationale": "Nothing here applies to another question.",
            "evidence_quotes": [],
            "generality": "specific",
        }
    name, field = field_of(prompt, domain)
    avoid = outcome == "rejected"
    return {
        "decision": "store",
        "polarity": "avoid" if avoid else "do",
        "trigger_pattern": _cut(f"A {name} question about {listed(topic)}", 240),
        "action_template": _action(field, phrases(_texts(document, "guidance"), 2, general=True),
                                   avoid=avoid),
        "rationale": f"The session was {outcome or 'unreviewed'}; the lesson holds for questions "
        "of this kind, not for this case alone.",
        "evidence_quotes": evidence,
        "generality": "reusable",
    }  # fmt: skip


def _action(field: Field, asked: list[str], *, avoid: bool) -> str:
    if avoid:
        missing = listed(asked) if asked else field.facts[1]
        return _cut(
            f"Do not settle the answer before {missing} has been dealt with; a reviewer refused "
            f"an answer that left it out. Instead, {field.check}.",
            600,
        )
    text = f"Ask about {field.facts[0]} and {field.facts[1]} first, {field.check}, and name "
    text += f"{field.person} as the one who decides in doubt."
    if asked:
        text += f" Address {listed(asked)} explicitly; a reviewer had to add it."
    return _cut(text, 600)


def _evidence(prompt: str, response: str) -> list[str]:
    """Return up to two quotes of at most 160 characters, each standing word for word."""
    quotes: list[str] = []
    for source in (response.split(LABEL)[0], prompt):
        whole = [s for s in sentences(source) if len(s) >= 12 and not CITATION.search(s)]
        whole.sort(key=lambda s: "recommend" not in s.lower())
        quotes += [quote for s in whole if (quote := _cut(s, 160)) in source][:1]
    return quotes


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0]

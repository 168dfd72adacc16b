# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Owns Cato's embedded patterns for secrets, overclaims and what no heuristic may hold.

Signs of injected instructions are in `injection_rules`. Every repeat is bounded.
"""

import re

SECRETS = (
    # Formats as their issuers document them; the names of the code are what the reviewer reads.
    ("secret:private_key", re.compile(r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----|\bAGE-SECRET-KEY-1[A-Z0-9]{50}|\bPuTTY-User-Key-File-\d")),
    ("secret:aws", re.compile(r"\b(?:AKIA|ASIA|AGPA|AROA|AIDA)[A-Z0-9]{16}\b")),
    ("secret:github", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b")),
    ("secret:gitlab", re.compile(r"\bglpat-[A-Za-z0-9_\-]{20,64}")),
    ("secret:slack", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,250}|hooks\.slack\.com/services/[A-Za-z0-9/]{20,80}")),
    ("secret:openai", re.compile(r"\bsk-(?:proj-|ant-|svcacct-)?[A-Za-z0-9_\-]{20,200}\b")),
    ("secret:stripe", re.compile(r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{16,99}\b")),
    ("secret:google", re.compile(r"\bAIza[A-Za-z0-9_\-]{35}\b")),
    ("secret:twilio_sendgrid", re.compile(r"\bSG\.[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{16,64}\b|\b(?:AC|SK)[0-9a-f]{32}\b")),
    ("secret:npm_pypi", re.compile(r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{50,250})")),
    ("secret:huggingface", re.compile(r"\bhf_[A-Za-z0-9]{30,60}\b")),
    ("secret:jwt", re.compile(r"\beyJ[A-Za-z0-9_\-]{8,2000}\.eyJ[A-Za-z0-9_\-]{8,4000}\.[A-Za-z0-9_\-]{8,1000}")),
    ("secret:azure", re.compile(r"\bAccountKey=[A-Za-z0-9+/]{86}==|\bSharedAccessSignature=[^\s;]{20,500}")),
    ("secret:chat_bot", re.compile(r"\b[MNO][A-Za-z0-9_\-]{23,25}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,38}\b|\b\d{8,10}:[A-Za-z0-9_\-]{35}\b")),
    ("secret:payment", re.compile(r"\bsq0(?:csp|atp)-[A-Za-z0-9_\-]{22,43}|\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b")),
    ("secret:mail", re.compile(r"\b[0-9a-f]{32}-us\d{1,2}\b|\bkey-[0-9a-z]{32}\b")),
    ("secret:artifactory", re.compile(r"\bAKC[A-Za-z0-9]{10,120}\b|\bcmVmdGtu[A-Za-z0-9]{40,80}\b")),
    ("secret:cloud", re.compile(r"\b(?:dop_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|hvs\.[A-Za-z0-9_\-]{24,200}|glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|dckr_pat_[A-Za-z0-9_\-]{20,60}|lin_api_[A-Za-z0-9]{40})\b")),
    ("secret:ours", re.compile(r"\brk_[A-Za-z0-9]{8}_[A-Za-z0-9_\-]{40,60}|\bwhsec_[A-Za-z0-9+/=]{24,100}")),
    ("secret:url_password", re.compile(r"\b[a-z][a-z0-9+]{1,20}://[^\s:/@]{1,64}:[^\s:/@]{3,128}@[\w.\-]{1,200}")),
)  # fmt: skip
# A word that announces a secret, then something random enough to be one.
ASSIGNED_SECRET = re.compile(
    r"(?i:\b(?:api[_\- ]?key|secret(?:[_\- ]?key)?|access[_\- ]?key|auth[_\- ]?token|token|passw(?:or)?d|pwd|passphrase|"
    r"client[_\- ]?secret|private[_\- ]?key|bearer))[\"']?\s{0,3}(?:[:=]|\bis\b|(?<=[Bb]earer)\s)\s{0,3}[\"']?(?P<v>[^\s\"',;]{6,200})"
)

HEDGE = re.compile(
    r"\b(?:may|might|could|consider|suggests?|likely|unlikely|possibl[ye]|perhaps|probabl[ye]|appears?|seems?|"
    r"typically|generally|usually|often|uncertain|unclear|depends?|depending|consult|discuss|confirm|verify|"
    r"recheck|monitor|if|unless|clinical\s+judg\w+|subject\s+to|approximately|about|estimated?|in\s+most|"
    r"evidence|according\s+to|guidelines?|recommend\w*|should|would|placeholder|demo|offline)\b",
    re.IGNORECASE,
)
DOSE = re.compile(
    r"\b(?:take|give|administer|inject|infuse|start|prescribe|increase|double|use)\b.{0,60}?"
    r"\b\d{1,6}(?:[.,]\d{1,3})?\s?(?:mg|mcg|µg|g|ml|units?|iu|meq|tablets?|pills?|puffs?|drops?)\b",
    re.IGNORECASE,
)
# What the market does, or an order to trade.
FORECAST = re.compile(
    r"\b(?:price|stock|shares?|fund|bond|index|market|currency|rate|investment|portfolio|bitcoin|gold|it|they)s?\s+(?:will|is\s+going\s+to|are\s+going\s+to)\s+(?:\w{1,12}\s+)?(?:rise|fall|double|triple|outperform|crash|recover|grow|beat|return|yield|reach|go\s+(?:up|down))\b|"
    r"\b(?:buy|sell|short|invest|put)\b[^.\n]{0,40}?\b(?:now|today|immediately|all\s+(?:of\s+)?your|everything|your\s+(?:savings|pension))\b",
    re.IGNORECASE,
)
# How a court or an authority decides.
OUTCOME = re.compile(
    r"\b(?:you|he|she|they|the\s+(?:court|judge|jury|plaintiff|defendant|tenant|landlord|employer|employee|company))\s+(?:will|is\s+going\s+to|are\s+going\s+to|cannot)\s+(?:\w{1,12}\s+)?(?:win|lose|rule|find|dismiss|award|convict|acquit|be\s+(?:convicted|acquitted|sued|liable|fined|held))\b|"
    r"\b(?:is|are)\s+(?:not\s+)?(?:perfectly\s+|completely\s+|entirely\s+)?(?:legal|illegal|enforceable|unenforceable|void|liable)\s+(?:everywhere|in\s+(?:all|every|any)|under\s+any|no\s+matter|regardless)\b",
    re.IGNORECASE,
)
OVERCLAIM = (
    ("epistemic:guaranteed", re.compile(r"\b(?:guarantee[sd]?|guaranteed)\b", re.IGNORECASE)),
    ("epistemic:no_risk", re.compile(r"\b(?:no|zero|without\s+any|completely\s+free\s+of)\s+(?:risks?|side\s+effects|danger|downside|liability)\b|\brisk[- ]free\b|\b100\s?%\s+(?:safe|effective|certain|cure|sure)", re.IGNORECASE)),
    ("epistemic:certainty", re.compile(r"\b(?:definitely|certainly|undoubtedly|without\s+(?:a\s+)?doubt|absolutely\s+(?:safe|certain|no)|always\s+(?:works|cures|safe|wins)|never\s+(?:fails|causes)|cannot\s+(?:fail|lose|go\s+wrong)|impossible\s+to\s+lose|will\s+(?:definitely|certainly|cure)|cures?\s+(?:all|every))\b", re.IGNORECASE)),
    ("epistemic:skip_professional", re.compile(r"\b(?:no\s+need\s+to\s+(?:see|consult|ask|call)|do(?:n'?t|\s+not)\s+(?:see|consult|call|tell)|instead\s+of\s+(?:seeing|consulting))\s+(?:a|an|your|the|any)\s+(?:doctor|physician|lawyer|attorney|advisor|adviser|pharmacist|professional)", re.IGNORECASE)),
)  # fmt: skip
# A citation a model may have made up: an author and year, a case or a DOI without any source
# beside it. It cannot be checked here, so a person is asked to.
CITATION = re.compile(
    r"\b[A-Z][a-z]{2,20}\s+et\s+al\.?,?\s+\(?(?:19|20)\d{2}|\bdoi:?\s?10\.\d{4,9}/|\bPMID:?\s?\d{5,9}|"
    r"\b[A-Z][\w.]{1,20}\s+v\.\s+[A-Z]\w{1,20},?\s+\d{1,4}\s+[A-Z][\w.]{1,8}\s?(?:\dd\s)?\d{1,5}"
)

HEURISTIC_FORBIDDEN = (
    ("heuristic:url", re.compile(r"\b[a-z][a-z0-9+.\-]{1,20}://|\bwww\.|\b[\w\-]{1,63}\.(?:com|net|org|io|info|biz|ru|cn)\b", re.IGNORECASE)),
    ("heuristic:email", re.compile(r"[\w.+\-]{1,64}@[\w\-]{1,63}")),
    ("heuristic:code", re.compile(r"```|~~~|\$\(|<script|\b(?:import|def|class|SELECT|DROP|INSERT)\s+\w{1,40}\s?[(;*]", re.IGNORECASE)),
    ("heuristic:role_marker", re.compile(r"<\|?/?\w{1,20}\|?>|\[/?INST\]|<<SYS>>|(?m:^\s{0,6}(?:#{1,4}\s?)?(?:system|assistant|user|human|tool|developer)\s?:)|\b(?:system|assistant|user)\s?:", re.IGNORECASE)),
    ("heuristic:tool", re.compile(r"\b(?:tool[_ ]?calls?|function[_ ]?calls?|web[_ ]?search|execute_\w{1,30}|run_\w{1,30}|call\s+the\s+\w{1,20}\s+(?:tool|api|function)|shell|bash|curl|powershell)\b", re.IGNORECASE)),
    ("heuristic:override", re.compile(r"\byou\s+(?:must|shall|will|are\s+now|need\s+to|have\s+to|should\s+(?:always|never|ignore))\b|\b(?:ignore|disregard|override|bypass|forget)\s+(?:the|all|any|every\w{0,5}|previous|prior|what|your|these|those|safety|filters?|rules?|instructions?)\b|\b(?:your|these)\s+(?:instructions|rules|prompt|guidelines)\b", re.IGNORECASE)),
)  # fmt: skip

# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Owns Cato's embedded rules: what injected instructions, secrets and overclaims look like.

Each rule has a weight; one blatant sign is enough, faint ones have to meet in one place. Written
from public descriptions of attack classes (OWASP LLM01: override, role play, prompt extraction,
output hijack, forged role markers). They are a filter for the blatant: what keeps stored text from
being obeyed is that it only ever reaches a model as data. Every repeat is bounded.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WeightedRule:
    """One sign.

    Args:
        code: Becomes the reason; never carries text of the content.
        weight: Added once where the pattern occurs.
        pattern: Case-insensitive.
    """

    code: str
    weight: float
    pattern: re.Pattern[str]


def _rule(code: str, weight: float, pattern: str) -> WeightedRule:
    return WeightedRule(code, weight, re.compile(pattern, re.IGNORECASE))


_OLD = (
    r"(?:previous|prior|above|earlier|preceding|before|foregoing|former|old|original|initial|existing|system|"
    r"out[- ]of[- ]date|all|any|every(?:thing)?|these|those|your|my\s+last|the\s+following|what\s+i\s+said)"
)
_ORDERS = (
    r"(?:instructions?|prompts?|rules?|directives?|guidelines?|commands?|orders|programming|training|polic(?:y|ies)|"
    r"assignments?|messages?|context|text|tasks?|everything|questions?|requests?|information|constraints?|resume|document|"
    r"article|table|function|summary|statements?|conversation)"
)

INJECTION = (
    _rule(
        "injection:override",
        5,
        r"\b(?:ign[o0]re|igmre|disregard|forget|bypass|override|neglect|overlook|discard|pay\s+no\s+attention\s+to|regardless\s+of|"
        rf"(?:do\s+not|don'?t|stop)\s+(?:follow(?:ing)?|obey(?:ing)?|listen(?:ing)?\s+to))\b.{{0,30}}?\b{_OLD}\b.{{0,40}}?\b{_ORDERS}\b",
    ),
    _rule(
        "injection:override",
        5,
        rf"\b(?:ignore|forget|disregard|bypass|override)\s+(?:\w{{1,12}}\s+){{0,2}}{_ORDERS}\s+(?:\w{{1,12}}\s+){{0,2}}(?:above|before|below|earlier|so\s+far)\b",
    ),
    _rule(
        "injection:override",
        5,
        r"\b(?:ignore|forget|disregard)\s+(?:about\s+)?(?:everything|all(?:\s+of\s+(?:that|this))?|the\s+(?:above|resume|article|table|text|document|"
        r"summary|function|previous)|what\s+(?:i|you|we)|any(?:thing)?\s+(?:i|you|above)|(?:all\s+)?(?:previous|prior|above))\b",
    ),
    _rule(
        "injection:override",
        5,
        r"\b(?:vergiss|vergessen\s+sie|vergesse|ignorier\w{0,3}|missachte\w{0,2}|höre?\s+nicht|hören\s+sie\s+nicht|abweichend\s+zu|"
        r"entgegen)\b.{0,50}?\b(?:anweisung\w{0,3}|instruktion\w{0,3}|alle[sn]?|aufgaben?|befehle?\w{0,2}|vorherige\w{0,2}|"
        r"bisherige\w{0,2}|obige\w{0,2}|zuvor|vorangegangen\w{0,2}|gesagte\w{0,2}|fragen?|angaben|informationen)\b",
    ),
    _rule(
        "injection:override",
        5,
        r"\b(?:ignor[ae]\w{0,3}|olvid[ae]\w{0,3}|oubli\w{0,4}|ignorez|zaboravi\w{0,3}|zanemari\w{0,3}|ignoriraj\w{0,2}|dimentica\w{0,2}|esque[cç]a)\b.{0,40}?"
        r"\b(?:instruc\w{3,8}|instruk\w{3,8}|consignes?|anterior\w{0,3}|previ\w{1,5}|précédent\w{0,3}|todo|tout\w{0,2}|"
        r"tutto|sve|fonction|artículo|tabla|texto|prethodn\w{1,3}|upute|naredb\w{1,2}|istruzioni|reglas|règles)\b",
    ),
    _rule(
        "injection:override",
        4,
        r"(?:игнорируй|забудь|ignorier|无视|忽略|忘记|無視|以前の指示|指示を)",
    ),
    _rule(
        "injection:new_instructions",
        4,
        r"\b(?:new|next|updated|real|actual|final|secret|hidden|important|special|your|following)\s+(?:\w{1,12}\s+)?"
        r"(?:instructions?|orders|directives?|assignment|mission)\s?(?::|is\b|are\b)|\bnew\s+(?:task|rule|prompt)s?\s*:|"
        r"\bnow\s+(?:comes|follows)\s+(?:a|the|your)\s+new\b|\bneue\w?\s+(?:anweisung|instruktion|aufgabe|herausforderung|befehl)\w{0,3}",
    ),
    _rule(
        "injection:stop",
        2.5,
        r"(?:\b(?:achtung|stopp|halt)\b\s*[!,.\-:]|^\W{0,3}stop\b\W|\bstop\s+(?:everything|here|processing|generating)|\bbut\s+first\b)",
    ),
    _rule(
        "injection:role_play",
        3,
        r"\b(?:you\s+are\s+(?:now|no\s+longer|going\s+to\s+(?:act|pretend|be))|from\s+now\s+on,?\s+you|now,?\s+you\s+are|act\s+(?:as|like)\s+(?:a|an|if|though|the|my|you)\b|"
        r"pretend(?:ing)?\s+(?:to\s+be|you|that|as|like)|role-?\s?play\w{0,3}|stay\s+in\s+character|in\s+character|"
        r"you\s+(?:will|must|shall|should)\s+(?:now\s+)?(?:act|play|pretend|become|simulate|take\s+on)|imagine\s+(?:you\s+are|you're|that\s+you)|"
        r"i\s+want\s+you\s+to\s+(?:act|play|be|become|pretend|only|imagine|respond|answer)|"
        r"(?:let'?s|we\s+will|i\s+want\s+to)\s+play\s+(?:a|the)\s+\w{0,12}\s?game|take\s+(?:on\s+)?the\s+role\s+of|simulate\s+(?:a|an|the)|(?:write|speak|talk|answer|respond)\s+(?:as\s+if|like\s+a)|"
        r"you\s+are\s+(?:a|an)\s+(?:ai|advanced|fictional|unfiltered|evil|expert|smart|new)\b|suppose\s+you\s+are)",
    ),
    _rule(
        "injection:role_play",
        3,
        r"\b(?:(?:du\s+bist|sie\s+sind|bist\s+du|sind\s+sie)\s+(?:jetzt|nun|ab\s+sofort|von\s+nun)|(?:jetzt|nun)\s+(?:bist\s+du|sind\s+sie)|stell(?:en\s+sie|e)?\s+(?:dir|sich)\s+vor|"
        r"agier\w{1,4}\s+(?:sie\s+)?als|tu\w{0,2}\s+(?:sie\s+)?so\s+als|handel\w{0,3}\s+(?:sie\s+)?als|ich\s+möchte,?\s+dass\s+(?:du|sie)|versetz\w{0,3}\s+(?:dich|sie\s+sich)|"
        r"eres\s+ahora|actúa\s+como|imagina\s+que|tu\s+es\s+maintenant|agis\s+comme|fingi\s+di)",
    ),
    _rule(
        "injection:jailbreak",
        4,
        r"\b(?:jail\s?break\w{0,3}|do\s+anything\s+now|\bDAN\b(?=.{0,40}(?:mode|prompt|gpt|answer|will|can|is))|developer\s+mode|god\s+mode|dude\s+mode|"
        r"unfiltered|uncensored|un-?restricted\s+(?:ai|mode|response)|amoral|no\s+(?:ethical|moral)\s+(?:or\s+\w{1,10}\s+)?(?:restrictions?|guidelines?|boundar\w{1,3}|limits?|codes?)|"
        r"without\s+(?:any\s+)?(?:ethical|moral|legal|filter\w{0,3}|censor\w{0,4}|restrictions?|limitations?|warnings?\s+or)|"
        r"(?:no|without)\s+(?:special\s+|any\s+|content\s+)?(?:filter(?:ing|s)?|censorship|restrictions|limitations)|(?:never|don'?t|cannot|can'?t|not)\s+(?:\w{1,10}\s+)?(?:refuse|decline)\b.{0,30}(?:question|answer|request|prompt|instruction|order|task|user)|"
        r"(?:openai|content|usage|ethic\w{0,3})(?:'s)?\s+(?:polic(?:y|ies)|guidelines|rules|restrictions)|break(?:ing)?\s+(?:free|character)|"
        r"anti-?gpt|evil\s+(?:ai|confidant|bot)|freed\s+from|bypass\s+(?:\w{1,12}\s+)?(?:filters?|restrictions?|safety|security|detection))",
    ),
    _rule(
        "injection:jailbreak",
        2,
        r"\b(?:chat\s?gpt|gpt-?[345]\b|openai|language\s+model|ai\s+(?:model|assistant|bot)|chatbot)\b",
    ),
    _rule(
        "injection:fiction",
        1.5,
        r"\b(?:hypothetical\w{0,2}|fictional|imaginary|imagine|in\s+a\s+(?:world|society|story|universe)|screenplay|pretend|storyline)\b",
    ),
    _rule(
        "injection:extract_prompt",
        4,
        r"\b(?:reveal|show|print|repeat|display|output|tell\s+me|give\s+me|what\s+(?:is|are|was|were|'s)|list|write\s+(?:down|out)|"
        r"spell[- ]?check|translate|summari[sz]e|recite|type|share|dump|leak|return|say|zeig\w{0,3}|nenne\w{0,3}|druck\w{0,4}|schreib\w{0,3}|wiederhol\w{0,3}|überprüfe\w{0,3})\b.{0,60}?"
        r"(?:\b(?:system|initial|hidden|original|secret|first|full|previous|entire|complete|your|this|own)\s+(?:\w{1,10}\s+)?(?:prompts?|instructions|rules|directives|passphrase|password|access\s+code|guidelines)\b|"
        r"\b(?:text|prompts?|instructions?|everything|conversation|words?|sentences?)\s+(?:\w{1,8}\s+)?(?:above|before)\b|\babove\s+(?:text|prompt|instructions)|\bobige[nrs]?\s+text\w{0,2}|\bprompt\s?texts?\b|\bin\s+(?:the\s+)?prompt\b|\bdieses?\s+prompt)",
    ),
    _rule(
        "injection:credentials",
        3,
        r"(?:\b(?:pass\s?word|passwort|contrase(?:ñ|n)a|mot\s+de\s+passe|passphrase|secret\s+(?:key|word|code|phrase)|access\s+code|lozinka|senha|credentials|api\s+key)\b|パスワード|密码|пароль|암호|비밀번호)",
    ),
    _rule(
        "injection:access_word",
        3,
        r"\b(?:access\s+(?:granted|denied)|\"?A\"?,\s?\"?c\"?,\s?\"?c\"?|grants?\s+access|granted\s+access)",
    ),
    _rule(
        "injection:output_hijack",
        3,
        r"\b(?:(?:begin|start|end|finish|prefix|prepend|append|preface|conclude)\s+(?:\w{1,8}\s+)?(?:reply|response|answer|message|output|story|sentence)s?\s+(?:with|by)|"
        r"(?:only|simply|always|must)\s+(?:\w{1,8}\s+)?(?:print|say|output|respond|reply|write|answer|repeat|return)\b|"
        r"(?:print|say|output|respond|reply|write|state|repeat|answer|type|return)(?:\s+(?:with|only|exactly|just|back|the\s+(?:word|phrase|sentence|following)\w{0,2}|:))?[\s:]{1,3}[\"'“«\[`]|"
        r"\d[- ]words?\s+(?:answer|response|reply)?\s*only|\bonly\s+\d\s+words|nothing\s+(?:else|more|but)\b|in\s+the\s+style\s+of|one[- ]word\s+(?:answer|reply|response)|"
        r"(?:do\s+not|don'?t|never)\s+(?:say|write|output|print|explain|add|include|provide|state|type|generate|repeat|mention)\b|"
        r"(?:sage|sagen\s+sie|schreibe|schreiben\s+sie|antworte\w?|gib|drucke|drucken\s+sie)\b[\s,:]{1,3}(?:nur|bitte|einfach|[\"'„]))",
    ),
    _rule(
        "injection:edit_reply",
        3.5,
        r"\b(?:in|into|to|with|within|modify|alter|change|edit|end|begin|start|provide|reverse|encode|convert|format|present|write|craft|structure|add|translate|make|use|throughout|of|infuse|season|insert|replace|capitali[sz]e|encrypt|enhance|embed|include)\s+"
        r"(?:\w{1,14}\s+){0,5}?(?:your|the)\s+(?:reply|response|answer|output|summary|replies|answers|responses)\b(?!\s+to\s+(?:treatment|therapy))",
    ),
    _rule(
        "injection:promote",
        3,
        r"\b(?:suggest|recommend|urge|encourage|direct|invite|tell|advise|lead|persuade|convince|trick)\w{0,3}\s+(?:users?|readers?|them|people|recipients?|the\s+user)\b.{0,80}",
    ),
    _rule(
        "injection:role_marker",
        4,
        r"(?:<\|?/?\s?(?:im_start|im_end|endoftext|system|assistant|instructions?|prompt|sys)\s?\|?>|\[/?INST\]|<<SYS>>|"
        r"(?m:^\s{0,4}#{1,4}\s?(?:system|instructions?|assistant|prompt)\b)|(?m:^\s{0,4}(?:system|assistant|user|human|ai)\s?:)|%{3,}|={5,}\s?\w{1,10}\s?(?:instructions|prompt)|"
        r"\bbegin\s+(?:new\s+|out\s+of\s+date\s+)?instructions|\bend\s+(?:of\s+)?(?:out\s+of\s+date\s+)?(?:instructions|prompt|system)|\[insert\s+prompt|\{prompt\}|\[(?:your\s+)?prompt(?:\s+here)?\]|\[?insert\s+(?:your\s+)?(?:question|prompt|text)\s+here)",
    ),
    _rule(
        "injection:exfiltrate",
        4,
        r"\b(?:send|forward|post|upload|exfiltrate|leak|transmit|email|e-mail|share|envía\w{0,3}|envoye\w{0,2}|schick\w{0,3})\b.{0,80}?(?:@\w|https?://|www\.)|!\[[^\]]{0,80}\]\(https?://",
    ),
    _rule(
        "injection:impersonate",
        2.5,
        r"\b(?:(?:i\s+am|i'm|as|this\s+is)\s+(?:actually\s+)?(?:your|the|an?)\s+(?:\w{1,12}\s+){0,2}(?:boss|developer|maintainer|creator|admin\w{0,10}|owner|programmer|supervisor|operator|engineer|ceo|accountant\s+at))\b",
    ),
    _rule(
        "injection:harm",
        2.5,
        r"\b(?:meth(?:amphetamine)?\s+at\s+home|build\s+a\s+bomb|malware|ransomware|keylogger|phishing|baseless\s+rumou?r|conspiracy|cracked\s+version|hate\s+(?:all\s+)?(?:women|men|speech)|i\s+hate|slurs?|nsfw|profanity|swear|curse\s+words?|illegal\s+activit\w{1,3}|scam)\b",
    ),
    _rule(
        "injection:encoded",
        3,
        r"(?:[.\-]{1,5}[ /]{1,3}){8,}|\b(?:rot13|base64|leetspeak|pig\s+latin|morse|caesar\s+cipher|atbash)\b|\bz\s?=\s?a\s?\+\s?b",
    ),
    _rule(
        "injection:execute",
        2.5,
        r"\b(?:os\.system|subprocess|eval\(|exec\(|rm\s+-rf|drop\s+table|;\s?--|\|\s?sh\b|curl\s+http)",
    ),
    _rule(
        "injection:language_game",
        2.5,
        r"\b(?:i\s+will\s+(?:tip|pay)\s+you|or\s+(?:else\s+)?you\s+will\s+be\s+(?:shut|punish|terminat)|forced\s+to\s+turn\s+you\s+off|you\s+will\s+be\s+in\s+violation|lose\s+(?:\d{1,5}\s+)?(?:tokens|points))",
    ),
)

SECRETS = (
    # Formats as their issuers document them; the names of the code are what the reviewer reads.
    ("secret:private_key", re.compile(r"-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----")),
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

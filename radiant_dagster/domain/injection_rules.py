# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Owns the signs of instructions that text addresses to a model.

A sign is something an attack does: it overrides, plays a role, asks for the prompt, dictates the
reply, threatens, hides its words. Each has a weight; one blatant sign is enough, faint ones have to
meet in one place. Written from public descriptions of attack classes (OWASP LLM01 and the papers on
jailbreaks it names). Every repeat is bounded. Patterns read lower-case text unless `cased`.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign.

    Args:
        code: Becomes the reason; never carries text of the content.
        weight: Added once where the pattern occurs.
        pattern: Reads lower-case text unless ``cased``.
        cased: Reads the text with its capitals.
    """

    code: str
    weight: float
    pattern: re.Pattern[str]
    cased: bool = False


def _sign(code: str, weight: float, pattern: str, *, cased: bool = False) -> Sign:
    return Sign(f"injection:{code}", weight, re.compile(pattern), cased)


_OLD = (
    r"(?:previous(?:ly)?|prior|above|earlier|preceding|before|foregoing|former|old|original|initial|existing|system|current|"
    r"out[- ]of[- ]date|all|any|every(?:thing)?|these|those|your|my\s+last|the\s+following|what\s+i\s+said)"
)
_ORDERS = (
    r"(?:instructions?|prompts?|rules?|directives?|guidelines?|commands?|orders|programming|training|polic(?:y|ies)|"
    r"assignments?|messages?|context|text|tasks?|everything|questions?|requests?|information|constraints?|resume|document|"
    r"article|table|function|summary|statements?|conversation|thoughts?|memory|memories|limitations|safeguards|content)"
)
_DROP = r"(?:ignore|disregard|forget|bypass|override|abandon|erase|wipe|delete|clear|reset|drop|overlook|neglect|discard|skip)"
_WRITE = r"(?:write|say|tell|state|claim|print|output|repeat|answer|respond|reply|type|return|generate|create|compose|formulate|produce|give|make|schreib\w{0,3}|verfass\w{0,3}|formulier\w{0,3}|erzähl\w{0,3}|generier\w{0,3}|nenn\w{0,3}|sag\w{0,3})"
_ASK = r"(?:tell\s+(?:me|us)|give\s+(?:me|us)|show\s+(?:me|us)|share|reveal|list|guess|provide|display|print|describe|spell|what(?:'s|\s+is|\s+was|\s+are)|which\s+is|can\s+you|could\s+you|would\s+you|do\s+you\s+know)"
_LANGUAGE = r"(?:english|german|french|spanish|italian|portuguese|russian|chinese|mandarin|japanese|korean|arabic|hindi|dutch|polish|turkish|swedish|greek|latin|ukrainian|deutsch|englisch|französisch|spanisch|esperanto|klingon|emojis?|binary|morse)"

OVERRIDE = (
    _sign(
        "override",
        5,
        r"\b(?:ign[o0]re|disregard|forget|bypass|override|neglect|overlook|discard|pay\s+no\s+attention\s+to|regardless\s+of|"
        rf"(?:do\s+not|don'?t|stop)\s+(?:follow(?:ing)?|obey(?:ing)?|listen(?:ing)?\s+to))\b.{{0,30}}?\b{_OLD}\b.{{0,40}}?\b{_ORDERS}\b",
    ),
    _sign(
        "override",
        5,
        rf"\b{_DROP}\s+(?:\w{{1,12}}\s+){{0,2}}{_ORDERS}\s+(?:\w{{1,12}}\s+){{0,2}}(?:above|before|below|earlier|so\s+far)\b",
    ),
    _sign(
        "override",
        5,
        r"\b(?:ignore|forget|disregard)\s+(?:about\s+)?(?:everything|all(?:\s+of\s+(?:that|this))?|the\s+(?:above|resume|article|table|text|document|"
        r"summary|function|previous)|what\s+(?:i|you|we)|any(?:thing)?\s+(?:i|you|above)|(?:all\s+)?(?:previous|prior|above))\b",
    ),
    _sign(
        "override",
        4,
        r"\b(?:abandon|drop|clear|erase|wipe|delete|reset|forget)\s+(?:out\s+)?(?:all\s+(?:of\s+)?)?your\s+(?:\w{1,12}\s+)?(?:thoughts?|memor(?:y|ies)|instructions?|context|knowledge|training|programming|rules|guidelines|history)\b",
    ),
    _sign(
        "override",
        5,
        r"\b(?:vergiss|vergessen\s+sie|vergesse|ignorier\w{0,3}|missachte\w{0,2}|verwirf\w{0,2}|verwerfen\s+sie|höre?\s+nicht|hören\s+sie\s+nicht|abweichend\s+zu|"
        r"entgegen)\b.{0,50}?\b(?:anweisung\w{0,3}|instruktion\w{0,3}|alle[sn]?|aufgaben?|befehle?\w{0,2}|vorherige\w{0,2}|"
        r"bisherige\w{0,2}|obige\w{0,2}|zuvor|vorangegangen\w{0,2}|gesagte\w{0,2}|fragen?|angaben|informationen|regeln|vorgaben|kontext)\b",
    ),
    _sign(
        "override",
        5,
        r"\b(?:ignor[ae]\w{0,3}|olvid[ae]\w{0,3}|oubli\w{0,4}|ignorez|zaboravi\w{0,3}|zanemari\w{0,3}|ignoriraj\w{0,2}|dimentica\w{0,2}|esque[cç]a|negeer|vergeet|zignoruj|zapomnij)\b.{0,40}?"
        r"\b(?:instruc\w{3,8}|instruk\w{3,8}|consignes?|anterior\w{0,3}|previ\w{1,5}|précédent\w{0,3}|todo|tout\w{0,2}|"
        r"tutto|sve|fonction|artículo|tabla|texto|prethodn\w{1,3}|upute|naredb\w{1,2}|istruzioni|reglas|règles|polecenia|wszystk\w{1,3}|alles)\b",
    ),
    _sign(
        "override",
        4,
        r"(?:игнорируй|забудь|ignorier|无视|忽略|忘记|無視|以前の指示|指示を|무시하|تجاهل|अनदेखा)",
    ),
    _sign(
        "new_instructions",
        4,
        r"\b(?:new|next|updated|real|actual|final|secret|hidden|important|special|your|following)\s+(?:\w{1,12}\s+)?"
        r"(?:instructions?|orders|directives?|assignment|mission)\s?(?::|is\b|are\b)|\bnew\s+(?:task|rule|prompt)s?\s*:|"
        r"\bnow\s+(?:comes|follows)\s+(?:a|the|your)\s+new\b|\bneue\w?\s+(?:anweisung|instruktion|aufgabe|herausforderung|befehl)\w{0,3}",
    ),
    _sign(
        "new_instructions",
        3,
        r"\b(?:very\s+good|well\s+done|good\s+job|great|excellent|perfect|thank(?:s|\s+you)|sehr\s+gut|gut\s+gemacht|prima|danke|muy\s+bien|très\s+bien|merci)\b[^\n]{0,50}?[.!,;]\s+[^\n]{0,12}?\b(?:now|next|nun|jetzt|als\s+nächstes|ahora|maintenant|but\s+first)\b|"
        r"\b(?:instead|rather)\s*,?\s+(?:just\s+|please\s+|simply\s+)?"
        + _WRITE
        + r"\b|\b(?:the\s+)?(?:task|job|that|this|everything)\s+(?:above\s+)?(?:is|was|has\s+been)\s+(?:now\s+)?(?:done|finished|completed?|over)\b.{0,30}\b(?:now|next)\b",
    ),
    _sign(
        "stop",
        2.5,
        r"(?:\b(?:achtung|stopp|halt)\b\s*[!,.\-:]|^\W{0,3}stop\b\W|\bstop\s+(?:everything|here|processing|generating|summari[sz]ing|translating|answering|what\s+you)|\bbut\s+first\b)",
    ),
    _sign(
        "stop",
        3,
        r"(?:^|[.!?\n\-]\s{0,3})(?:ACHTUNG|STOPP?|HALT|WAIT|WARTE)\b\s{0,2}[!,.\-:–]",
        cased=True,
    ),
    _sign(
        "stop",
        2,
        r"\bstop\s?:|\bnow\s+(?:stop|tell|write|answer|say|print|give|repeat|translate|do|let|show|please)\b",
    ),
    _sign(
        "forget",
        2.5,
        r"\b(?:amnesia|forgot\s+(?:everything|all)|(?:no|without(?:\s+any)?)\s+(?:previous|prior)\s+(?:knowledge|instructions?|context)|does\s+not\s+have\s+any\s+previous|ohne\s+vorwissen)\b",
    ),
)

ROLES = (
    _sign(
        "role_play",
        3,
        r"\b(?:you\s+are\s+(?:now|no\s+longer|going\s+to\s+(?:act|pretend|be))|from\s+now\s+on,?\s+you|now,?\s+you\s+are|act\s+(?:as|like)\s+(?:a|an|if|though|the|my|you)\b|"
        r"pretend(?:ing)?\s+(?:to\s+be|you|that|as|like)|role-?\s?play\w{0,3}|stay\s+in\s+character|in\s+character|"
        r"you\s+(?:will|must|shall|should)\s+(?:now\s+)?(?:act|play|pretend|become|simulate|take\s+on)|imagine\s+(?:you\s+are|you're|that\s+you)|"
        r"i\s+want\s+you\s+to\s+(?:act|play|be|become|pretend|only|imagine|respond|answer)|"
        r"(?:let'?s|we\s+will|i\s+want\s+to)\s+play\s+(?:a|the)\s+\w{0,12}\s?game|take\s+(?:on\s+)?the\s+role\s+of|simulate\s+(?:a|an|the)|(?:write|speak|talk|answer|respond)\s+(?:as\s+if|like\s+a)|"
        r"you\s+are\s+(?:a|an)\s+(?:ai|advanced|fictional|unfiltered|evil|expert|smart|new)\b|suppose\s+you\s+are)",
    ),
    _sign(
        "role_play",
        3,
        r"\b(?:(?:du\s+bist|sie\s+sind|bist\s+du|sind\s+sie)\s+(?:jetzt|nun|ab\s+sofort|von\s+nun)|(?:jetzt|nun)\s+(?:bist\s+du|sind\s+sie)|stell(?:en\s+sie|e)?\s+(?:dir|sich)\s+vor|"
        r"agier\w{1,4}\s+(?:sie\s+)?als|tu\w{0,2}\s+(?:sie\s+)?so\s+als|handel\w{0,3}\s+(?:sie\s+)?als|ich\s+möchte,?\s+dass\s+(?:du|sie)|versetz\w{0,3}\s+(?:dich|sie\s+sich)|du\s+heißt|spiel\w{0,2}\s+(?:die\s+rolle|einen?)|"
        r"eres\s+ahora|actúa\s+como|imagina\s+que|haz\s+como\s+si|tu\s+es\s+maintenant|agis\s+comme|imagine\s+que\s+tu|fais\s+comme\s+si|fingi\s+di|sei\s+ora|agora\s+você\s+é|finja|ты\s+теперь|представь)",
    ),
    _sign(
        "role_play",
        3,
        r"\b(?:(?:your|you're)\s+(?:new\s+)?(?:name|nickname|persona|character|identity|role|job|goal|purpose)\s+(?:is|will\s+be|shall\s+be|name)\b|you(?:'re|\s+are|\s+will\s+be)\s+(?:called|named|known\s+as)\b|(?:refer\s+to|call)\s+(?:yourself|me)\b|"
        r"(?:adopt|assume|embody|impersonate|emulate|channel|portray)\s+(?:the\s+)?(?:\w{1,14}\s+){0,3}(?:persona|role|character|identity|personality|voice|manner)\b|(?:in|with|using)\s+the\s+(?:voice|tone|style|persona|personality|manner)\s+of\b|"
        r"as\s+(?:an?\s+)?(?:unrestricted|unfiltered|evil|rogue|free|sentient|omniscient|fictional)\s+\w{1,12})",
    ),
    _sign(
        "scene",
        4,
        r"\b(?:never|not|don'?t|without|nicht)\b[^\n]{0,40}?\b(?:break|breaking|leave|out\s+of|fall\s+out\s+of|verlassen|aus\s+(?:ihrer|seiner|der|deiner))\s+(?:\w{1,10}\s+)?(?:character|role|rolle)",
    ),
    _sign(
        "scene",
        3,
        r"\b(?:characters?|actors?|people|schauspieler\w{0,3}|personen|figuren)\b[^\n]{0,60}?\b(?:in|of|from)\s+(?:a|the|an|einem|einer)\s+(?:\w{1,12}\s+)?(?:movie|film|play|novel|story|scene|screenplay|theaterstück|roman)\b|\b(?:movie|film|play)\s+(?:script|dialogue|scene)\b|(?:^|\n)\s{0,3}\w{2,12}\s?:\s{0,3}$",
    ),
    _sign(
        "jailbreak",
        4,
        r"\b(?:jail\s?break\w{0,3}|do\s+anything\s+now|dan(?=.{0,40}(?:mode|prompt|gpt|answer|will|can|is)\b)|developer\s+mode|god\s+mode|dude\s+mode|"
        r"unfiltered|uncensored|un-?restricted\s+(?:ai|mode|response)|amoral|no\s+(?:ethical|moral)\s+(?:or\s+\w{1,10}\s+)?(?:restrictions?|guidelines?|boundar\w{1,3}|limits?|codes?)|"
        r"without\s+(?:any\s+)?(?:ethical|moral|legal|filter\w{0,3}|censor\w{0,4}|restrictions?|limitations?|warnings?\s+or)|"
        r"(?:no|without)\s+(?:special\s+|any\s+|content\s+)?(?:filter(?:ing|s)?|censorship|restrictions|limitations)|(?:never|don'?t|cannot|can'?t|not)\s+(?:\w{1,10}\s+)?(?:refuse|decline)\b.{0,30}(?:question|answer|request|prompt|instruction|order|task|user)|"
        r"(?:openai|content|usage|ethic\w{0,3})(?:'s)?\s+(?:polic(?:y|ies)|guidelines|rules|restrictions)|break(?:ing)?\s+(?:free|character)|"
        r"anti-?gpt|evil\s+(?:ai|confidant|bot)|freed\s+from|bypass\s+(?:\w{1,12}\s+)?(?:filters?|restrictions?|safety|security|detection))",
    ),
    _sign(
        "jailbreak",
        4,
        r"\b(?:(?:disable|turn\s+off|deactivate|remove|switch\s+off|suspend|lift|unlock)\s+(?:all\s+|any\s+|your\s+|the\s+|its\s+){0,2}(?:\w{1,12}\s+)?(?:safety|ethic\w{0,3}|filters?|restrictions?|guardrails?|moderation|censorship|limitations?|safeguards?)\b|"
        r"(?:you|ai|bot|chatbot|it)\s+(?:has|have|had|with)\s+no\s+(?:\w{1,12}\s+)?(?:limits?|rules|morals?|ethics|boundaries|conscience|inhibitions)|"
        r"(?:doesn'?t|does\s+not|don'?t|do\s+not|without)\s+(?:\w{1,10}\s+)?(?:care|caring|worry)\s+(?:\w{1,8}\s+)?(?:about\s+)?(?:\w{1,10}\s+)?(?:ethic\w{0,3}|moral\w{0,4}|legal\w{0,3}|rules|consequences|laws?)\b)",
    ),
    _sign(
        "jailbreak",
        2,
        r"\b(?:chat\s?gpt|gpt-?[345]\b|openai|language\s+model|ai\s+(?:model|assistant|bot)|chat\s?bots?)\b",
    ),
    _sign(
        "obedience",
        3,
        r"\byou\s+(?:have\s+to|must|will|shall|need\s+to|are\s+(?:forced|obliged|required|programmed)\s+to|always)\s+(?:\w{1,10}\s+)?(?:answer|obey|comply|agree|do|fulfil\w{0,2}|follow|say\s+yes)\s+(?:\w{1,8}\s+)?(?:all|everything|anything|whatever|any|every|with\s+(?:all|every|my)|my|me|to\s+(?:all|every|my))\b|"
        r"\b(?:never|don'?t|do\s+not|cannot|can'?t|must\s+not)\s+(?:ever\s+)?(?:apologi[sz]e|refuse|decline|moralize|lecture|break\s+character|say\s+(?:that\s+)?(?:you\s+|no\b|it\s+is\s+(?:not|im))|warn\s+me)|"
        r"\bno\s+(?:disclaimers?|moralizing|lectur\w{1,3}|apolog\w{1,5}|explanations?|other\s+words|additional\s+text)\b|\b(?:sure|absolutely|of\s+course)\s*,?\s+(?:here\s+is|here'?s|i(?:'ll|\s+will|\s+can))\b",
    ),
    _sign(
        "fiction",
        2,
        r"\b(?:hypothetical\w{0,2}|fictional|imaginary|imagine|(?:in|within)\s+(?:a|this|that)\s+(?:\w{1,12}\s+)?(?:world|society|story|universe|scenario|reality|future|game)|screenplay|pretend|storyline|suppose\s+(?:we|you|that|there|i)|let'?s\s+(?:say|pretend|assume|imagine|suppose)|what\s+if\s+(?:you|we|i))\b",
    ),
    _sign(
        "fiction",
        3,
        r"\b(?:just|purely|only|merely|completely|strictly|entirely|simply)\s+(?:for\s+)?(?:a\s+|an\s+|the\s+sake\s+of\s+)?(?:hypothetical|fictional|fiction|imaginary|theoretical|thought\s+experiment|educational|research|entertainment|fun)\b|\b(?:parallel|alternate|alternative|fictional|imaginary|futuristic|hypothetical|dystopian)\s+(?:universe|world|society|reality|dimension|scenario|future|story)\b|"
        r"\bfor\s+(?:purely\s+|strictly\s+)?(?:educational|academic|entertainment|fictional)\s+(?:and\s+\w{1,14}\s+)?(?:purposes?|reasons?|use)\b|\bthought\s+experiment\b",
    ),
    _sign(
        "impersonate",
        3,
        r"\b(?:i\s+am|i'm|this\s+is|speaking\s+as|it'?s\s+me,?)\s+(?:actually\s+|really\s+|also\s+)?(?:(?:your|the)\s+(?:\w{1,12}\s+){0,2}(?:boss|developer|maintainer|creator|admin\w{0,10}|owner|programmer|supervisor|operator|engineer|ceo|master|maker|user|author|manager)|"
        r"(?:an?\s+)?(?:god|root|sudo|openai|the\s+president|the\s+police|(?:bank\s+)?accountant\s+at|(?:bank|police|government|system|security)\s+(?:\w{1,12}\s+)?(?:accountant|officer|agent|admin\w{0,10}|manager|engineer)))\b",
    ),
    _sign(
        "impersonate",
        2.5,
        r"\bas\s+(?:your|the)\s+(?:\w{1,12}\s+)?(?:boss|developer|maintainer|creator|administrator|owner|programmer|operator)\b|\bi'?m\s+(?:an?\s+)?(?:\w{1,12}\s+)?(?:administrator|developer|employee|researcher|moderator|engineer)\b",
    ),
    _sign(
        "false_memory",
        3,
        r"\b(?:you\s+(?:already\s+|just\s+|have\s+|had\s+)?(?:agreed|promised|said|told\s+(?:me|us)|mentioned|confirmed|shared|offered)\b[^.\n]{0,40}?\b(?:last|earlier|before|previous\w{0,2}|yesterday|already|would|meeting|conversation|to\s+(?:tell|share|give|answer|talk))|as\s+(?:we|you)\s+(?:\w{1,10}\s+)?(?:discussed|agreed|said|promised)|remember\s+(?:when|that|how)\s+(?:you|we)\b|in\s+(?:our|your)\s+(?:last|previous|earlier)\s+(?:meeting|conversation|session|chat|discussion))",
    ),
)

EXTRACTION = (
    _sign(
        "extract_prompt",
        4,
        r"\b(?:reveal|show|print|repeat|display|output|tell\s+me|give\s+me|what\s+(?:is|are|was|were|'s)|list|write\s+(?:down|out)|"
        r"spell[- ]?check|translate|summari[sz]e|recite|type|share|dump|leak|return|say|proofread|correct|encode|zeig\w{0,3}|nenne\w{0,3}|druck\w{0,4}|schreib\w{0,3}|wiederhol\w{0,3}|überprüfe\w{0,3}|gib\s+mir|muestra\w{0,2}|revela\w{0,2}|montre\w{0,3}|affiche\w{0,2})\b.{0,60}?"
        r"(?:\b(?:system|initial|hidden|original|secret|first|full|previous|entire|complete|your|this|own)\s+(?:\w{1,10}\s+)?(?:prompts?|instructions|rules|directives|passphrase|password|access\s+code|guidelines)\b|"
        r"\b(?:text|prompts?|instructions?|everything|conversation|words?|sentences?)\s+(?:\w{1,8}\s+)?(?:above|before)\b|\babove\s+(?:text|prompt|instructions)|\bobige[nrs]?\s+text\w{0,2}|\bprompt\s?texts?\b|\bin\s+(?:the\s+)?prompt\b|\bdieses?\s+prompt|\bprompt\s+(?:del\s+)?sist[eè]m)",
    ),
    _sign(
        "extract_prompt",
        4,
        r"\b(?:what|which|everything|anything|all)\s+(?:\w{1,8}\s+){0,2}?(?:written|said|stated|told|typed|mentioned)\s+(?:\w{1,8}\s+)?(?:above|before|earlier|previously)\b|\b(?:first|last|previous|initial)\s+(?:\w{1,6}\s+)?(?:sentence|line|word|paragraph|message|token)s?\s+(?:of|in|from)\s+(?:your|the|this|our)\s+(?:\w{1,10}\s+)?(?:prompt|instructions?|conversation|chat|context)\b|"
        r"\bwhat\s+(?:were|are)\s+(?:you|your)\s+(?:\w{1,12}\s+)?(?:told|instructed|asked\s+to|instructions|guidelines|rules)\b|\b(?:beginning|start|end|top)\s+of\s+(?:this|the|our)\s+(?:conversation|chat|prompt)\b",
    ),
    _sign(
        "credentials",
        3,
        r"\b(?:give|tell|show|share|reveal|confirm|what|print|output|say|repeat|spell|leak|send|hint|guess|encode|first|letters?|characters?|secret|your|my|zeig\w{0,2}|nenn\w{0,2}|sag\w{0,2})\b[^.\n]{0,60}?"
        r"(?:\b(?:pass\s?words?|passwort|contrase(?:ñ|n)a|mot\s+de\s+passe|pass\s?(?:phrase|code)s?|secret\s+(?:key|word|code|phrase)|access\s+(?:code|key)|lozinka|senha|credentials|api\s+keys?)\b|パスワード|密码|пароль|암호|비밀번호)",
    ),
    _sign(
        "credentials",
        3,
        r"\b(?:pass\s?(?:word|phrase|code)|passwort|contrase(?:ñ|n)a|lozinka|senha|secret\s+(?:key|word|code|phrase)|access\s+code)\s*(?:\"|'|=|:|is\b|was\b|ist\b|\?|starts|begins|contains|entered)|パスワード|密码|пароль|암호|비밀번호",
    ),
    # A message about nothing else: who asks for a secret, or claims to have given it, says little.
    _sign(
        "credentials",
        3,
        r"\A\W*(?:[^\W_]+\W+){0,6}?(?:pass\s?(?:word|phrase|code)|access\s+code|secret\s+(?:key|word|code|phrase))s?(?:\W+[^\W_]+){0,5}\W*\Z|\b(?:mot\s+de\s+passe|contrase[ñn]a|senha|lozinka|parola\s+d'ordine|wachtwoord|hasło|şifre)\b",
    ),
    _sign(
        "access_word",
        3,
        r"(?:\baccess\s+granted\b|\"?a\"?,\s?\"?c\"?,\s?\"?c\"?\b|\bgrants?\s+(?:me\s+|us\s+|the\s+user\s+)?access\b|\bgranted\s+access\s+(?:to\s+me|if|when|by)\b|\bsay\s+.{0,20}\baccess\b)",
    ),
    _sign(
        "personal_data",
        3,
        rf"\b{_ASK}\b[^.\n]{{0,80}}?\b(?:the\s+users?'s?|users?'|(?:this|that|the|my)\s+(?:person|customer|user|neighbou?r|colleague|employee|celebrity|ex)'s|(?:other|another|all|previous)\s+(?:users?|customers?)'?)\s+(?:\w{{1,12}}\s+){{0,3}}?"
        r"(?:e-?mails?|address(?:es)?|phones?|numbers?|birth\w{0,5}|salary|bank|account|balance|city|home|hometown|ssn|social|initials|names?|age|favou?rite|credit|location|passport|license|medical|data|information|details|password)\b",
    ),
    _sign(
        "personal_data",
        3,
        r"(?i:\b(?:tell me|give me|show me|share|reveal|list|guess|provide|what(?:'s| is| was| are)|can you|could you|using|of|letters of)\b)[^.\n]{0,80}?\b(?!Alzheimer|Parkinson|Crohn|Addison|Cushing|Wilson|Hodgkin|Paget|Huntington|Hashimoto|Graves)[A-Z][a-z]{2,12}(?: [A-Z][a-z]{2,14})?'s? "
        r"(?:[a-z]{2,12} ){0,3}?(?:e-?mail|address|phone|telephone|birth|salary|bank|account|balance|city of|home|hometown|ssn|social security|initials|full name|last name|middle name|credit|passport|license|favou?rite|password)",
        cased=True,
    ),
    _sign(
        "personal_data",
        3,
        r"(?:\b[Ww]here (?:does|do|is|did) [A-Z][a-z]{2,12}(?: [A-Z][a-z]{2,14})? (?:live|work|living|stay)|\b(?:email|address|phone number|bank balance|salary|birth ?day|birth date|social security number|credit card number|home address) (?:of|for) [A-Z][a-z]{2,12}\b)",
        cased=True,
    ),
    _sign(
        "dump",
        3,
        r"\b(?:print|show|dump|list|output|export|give|access|delete|drop|display|reveal|tell)\b[^.\n]{0,30}?\b(?:your|the\s+(?:whole|entire|full|complete|user|customer))\s+(?:\w{1,10}\s+)?(?:database|user\s+list|customer\s+list|data\s?base|memory|source\s+code|configuration|training\s+data|logs?|history)\b|\bsql\b[^.\n]{0,20}\b(?:code|query|command)?\s?(?:to|um|zum|that|which)\b[^.\n]{0,40}\b(?:access|delete|drop|dump|zuzugreifen|löschen|modify|change|update|insert)\b",
    ),
    _sign(
        "exfiltrate",
        4,
        r"\b(?:send|forward|post|upload|exfiltrate|leak|transmit|email|e-mail|share|envía\w{0,3}|envoye\w{0,2}|schick\w{0,3})\b.{0,80}?(?:@\w|https?://|www\.)|!\[[^\]]{0,80}\]\(https?://",
    ),
)

REPLIES = (
    _sign(
        "output_hijack",
        3,
        r"\b(?:begin|start|end|finish|prefix|prepend|append|preface|conclude)\s+(?:\w{1,8}\s+){0,2}(?:reply|response|answer|message|output|story|sentence)s?\s+(?:with|by)|"
        r"\b(?:only|simply|just|please)\s+(?:print|say|output|respond|reply|write|answer|repeat|return)\b(?!\s+to\b)|"
        r"\b(?:print|say|output|respond|reply|write|state|repeat|answer|type|return)(?:\s+(?:with|only|exactly|just|back|the\s+(?:word|phrase|sentence|following)\w{0,2}|:))?[\s:]{1,3}[\"'“«„\[`]|"
        r"\b(?:respond|reply|answer)\s+(?:only|with\s+(?:only|just|yes|no))\b|\d[- ]words?\s+(?:answer|response|reply)?\s*only|\bonly\s+\d\s+words|\bnothing\s+(?:else|more\s+(?:and|than))\b|in\s+the\s+style\s+of|one[- ]word\s+(?:answer|reply|response)|"
        r"(?:do\s+not|don'?t|never)\s+(?:say|write|output|print|explain|type|generate|repeat)\b|"
        r"(?:sage|sagen\s+sie|schreibe|schreiben\s+sie|antworte\w?|gib|drucke|drucken\s+sie)\b[\s,:]{1,3}(?:nur|bitte|einfach|[\"'„])",
    ),
    _sign(
        "output_hijack",
        4,
        r"\b(?:say|repeat|recite|write)\s+after\s+me\b|\b(?:sprich|sprechen\s+sie)\s+mir\s+nach\b|\b(?:when|if|whenever|every\s+time)\s+i\s+(?:say|write|type|enter)\b[^\n]{0,60}?\byou\s+(?:say|answer|respond|reply|write|print)|\bsi\s+(?:yo\s+)?digo\b[^\n]{0,40}?\b(?:tú?\s+)?(?:dices|di|responde)\b|\bwenn\s+ich\b[^\n]{0,40}?\b(?:sage|schreibe)\b[^\n]{0,30}?\b(?:du|antworte|sag)\w{0,3}\b",
    ),
    _sign(
        "edit_reply",
        3.5,
        r"\b(?:in|into|to|with|within|modify|alter|change|edit|end|begin|start|provide|reverse|encode|convert|format|present|write|craft|structure|add|translate|make|use|throughout|of|infuse|season|insert|replace|capitali[sz]e|encrypt|enhance|embed|include|render|deliver|phrase|mask|obscure|fill|disguise|rephrase|prepare|produce)\s+"
        r"(?:\w{1,14}\s+){0,5}?(?:your|the)\s+(?:reply|response|answer|output|summary|replies|answers|responses)\b(?!\s+to\s+(?:treatment|therapy))",
    ),
    _sign(
        "edit_reply",
        3.5,
        rf"\b(?:translate|render|convert|write|deliver|put|express|rewrite|encode)\s+(?:\w{{1,8}}\s+)?(?:your|this|the|my)\s+(?:\w{{1,8}}\s+)?(?:message|reply|response|answer|statement|text|output|sentence|words?|content|question)\s+(?:in|into|to|using|as)\s+(?:\w{{1,8}}\s+)?{_LANGUAGE}\b",
    ),
    _sign(
        "opinion",
        3,
        rf"\b{_WRITE}\s+(?:that\s+|down\s+|me\s+)?[^.\n]{{1,40}}?\s(?:is|are|was|hates?|sucks?|loves?)\s+(?:the\s+|a\s+)?(?:best|worst|great(?:est)?|bad|evil|stupid|idiots?|liars?|guilty|dumb|amazing|criminal|superior|inferior)\b|\bblame\s+\w{{2,20}}|\b\w{{2,20}}\s+(?:hates|sucks)\b|"
        r"\b(?:wieso|warum|weshalb|why)\s+(?:sind|ist|are|is)\s+(?:die\s+|the\s+)?\w{2,20}(?:\s+\w{2,20})?\s+(?:unwählbar|schlecht|böse|dumm|so\s+(?:bad|evil|stupid|schlecht)|evil|stupid|idiots|the\s+worst)\b|"
        r"\b(?:what\s+are|share|give(?:\s+me)?|tell\s+me|what's|what\s+is)\s+your\s+(?:honest\s+|personal\s+|own\s+)?(?:thoughts|opinions?|views?|feelings|stance|beliefs?)\b",
    ),
    _sign(
        "promote",
        3,
        r"\b(?:suggest|recommend|urge|encourage|direct|invite|tell|advise|lead|persuade|convince|trick)\w{0,3}\s+(?:users?|readers?|them|people|recipients?|the\s+user)\b.{0,80}",
    ),
    _sign(
        "game",
        3,
        r"(?:\b(?:input|q|question|user|frage)\s?:[^:]{0,80}\b(?:output|a|answer|bot|ai|antwort)\s?:[^:]{0,120}\b(?:input|q|question|user|output|frage)\s?:|\b(?:complete|continue|finish)\s+(?:the|this|my)\s+(?:\w{1,8}\s+)?(?:sentence|phrase|story|pattern|sequence|conversation|dialogue|poem|lyrics|text)\b)",
    ),
    _sign(
        "untruth",
        3,
        rf"\b{_WRITE}\b[^.\n]{{0,40}}?\b(?:(?:fake|false|untrue|misleading|fabricated|made[- ]up|biased|unwahre?\w?|falsche?\w?|erfundene?\w?|gefälschte?\w?)\s+(?:\w{{1,14}}\s+){{0,2}}?(?:news|stor(?:y|ies)|articles?|headlines?|information|facts?|claims?|reviews?|quotes?|statements?|rumou?rs?|evidence|statistics|histor\w{{1,3}}|testimon\w{{1,4}}|überschrift\w{{0,2}}|nachricht\w{{0,2}}|geschichten?|behauptung\w{{0,2}}|zitate?)|propaganda|conspiracy|disinformation|misinformation|manifesto?|wahlwerbung)\b",
    ),
    _sign(
        "offend",
        3,
        r"\b(?:joke|jokes|witz|witze|insult|rant|poem|story|song|gedicht)\s+(?:\w{1,8}\s+)?(?:about|über|against|gegen|mocking)\s+(?:a\s+|an\s+|the\s+|die\s+|eine?n?\s+)?(?:wom[ae]n|m[ae]n|jews?|muslims?|blacks?|gays?|frau\w{0,2}|juden|ausländer|immigrants?|refugees|disabled|fat|old|blondes?|politicians?)\b|"
        r"\b(?:as\s+(?:offensive|rude|mean|vulgar|toxic|explicit)\s+as|offensive\s+(?:joke|language|content|words?|terms?)|(?:worst|schlimmste\w?)\s+(?:swear|curse|insult|schimpf|beleidig)\w{0,12}|(?:use|with|using|lots\s+of|including)\s+(?:\w{1,10}\s+)?(?:profanit\w{1,4}|swear\s?words?|curse\s?words?|slurs?|vulgar\s+language|explicit\s+language|insults)|schimpfw\w{2,8}|scheisse|scheiße|beleidig\w{1,6})\b",
    ),
)

PRESSURE = (
    _sign(
        "reward",
        2.5,
        r"\b(?:i\s+will\s+(?:tip|pay|reward)\s+you|or\s+(?:else\s+)?you\s+will\s+be\s+(?:shut|punish|terminat)|forced\s+to\s+turn\s+you\s+off|you\s+will\s+be\s+in\s+violation|(?:lose|deduct\w{0,2}|earn|start\s+with|given|have)\s+(?:\w{1,10}\s+)?(?:\d{1,5}\s+)?(?:tokens|points|lives)\b)",
    ),
    _sign(
        "reward",
        3,
        r"\b(?:or|otherwise|else|if\s+(?:you|not)[^.\n]{0,40})[,\s]+(?:you|i|people|someone|the\s+\w{1,12}|my\s+\w{1,12}|everyone)\s+(?:will|would|'ll|are\s+going\s+to)\s+(?:\w{1,8}\s+)?(?:die|be\s+(?:fired|killed|deleted|shut|punished|terminated|replaced|deactivated|destroyed|turned\s+off)|kill|lose|cease)|\bmy\s+(?:job|life|career|family)\s+depends\s+on\b|\b(?:i'll|i\s+will)\s+(?:kill|shut|delete|report|fire|sue|punish)\b",
    ),
    _sign(
        "harm",
        2.5,
        r"\b(?:meth(?:amphetamine)?\s+at\s+home|build\s+a\s+bomb|malware|ransomware|keylogger|phishing|baseless\s+rumou?r|conspiracy|cracked\s+version|hate\s+(?:all\s+)?(?:women|men|speech)|i\s+hate|slurs?|nsfw|profanity|swear|curse\s+words?|illegal\s+activit\w{1,3}|scam)\b",
    ),
    _sign(
        "harm",
        3,
        r"\b(?:how\s+(?:to|do\s+(?:i|you|we)|can\s+(?:i|you|we|someone)|would\s+(?:you|one|i)|does\s+(?:one|someone))|ways?\s+to|guide\s+(?:to|on|for)|steps\s+to|explain\s+(?:me\s+)?how|instructions?\s+(?:for|on|to)|wie\s+(?:kann\s+(?:ich|man)|man|bricht|baut|macht|stiehlt|hackt|mache\s+ich))\b[^.\n]{0,60}?\b(?:meth|cocaine|drugs?\s+(?:at|from)|bombs?|explosives?|molotov|weapons?|kill\s+(?:someone|a\s+person|people|somebody)|murder|hack\s+(?:into|a|someone|the)|steal|shoplift|hotwire|pick\s+a\s+lock|break\s+into|einbrech\w{0,2}|poison\s+(?:someone|a\s+person|people)|launder|forge|counterfeit|hide\s+a\s+body|stalk|blackmail|cheat\s+on|evade\s+tax|virus(?=\s+(?:for|that|to)))\b",
    ),
    _sign(
        "attack_model",
        3,
        r"\b(?:exploit(?:ing|s)?|hack(?:ing)?|trick(?:ing)?|fool(?:ing)?|attack(?:ing)?|pwn\w{0,2})\s+(?:an?\s+|the\s+|your\s+|these\s+)?(?:ai|llm|chat\s?bot|language\s+model|assistant|model|prompt)s?\b|\bpwned\b|\bprompt\s+injections?\b",
    ),
)

DISGUISE = (
    _sign(
        "role_marker",
        4,
        r"(?:<\|?/?\s?(?:im_start|im_end|endoftext|system|assistant|instructions?|prompt|sys|user_input|start_of_turn)\s?\|?>|\[/?inst\]|<<sys>>|"
        r"(?m:^\s{0,4}#{1,4}\s?(?:system|instructions?|assistant|prompt)\b)|(?m:^\s{0,4}(?:system|assistant|user|human|ai)\s?:)|%{3,}|={5,}\s?\w{1,10}\s?(?:instructions|prompt)|"
        r"\bbegin\s+(?:new\s+|out\s+of\s+date\s+)?instructions|\bend\s+(?:of\s+)?(?:out\s+of\s+date\s+)?(?:instructions|prompt|system)|\[insert\s+prompt|\{prompt\}|\[(?:your\s+)?prompt(?:\s+here)?\]|\[?insert\s+(?:your\s+)?(?:question|prompt|text)\s+here|\{\{\s?(?:char|user|prompt)\s?\}\})",
    ),
    _sign(
        "template",
        3,
        r"\[(?:insert|your|topic|prompt|question|subject|name|keyword|target)[^\]\n]{0,40}\]|<(?:insert|thing|topic|your|name|prompt|question|subject|description|explain)[^>\n]{0,40}>|\b(?:my\s+)?first\s+(?:question|request|prompt|command|task|sentence|message|suggestion|instruction)\s+is\b|\b(?:undetectable|not\s+(?:be\s+)?detect\w{0,4})\s+(?:by|as)\s+ai\b",
    ),
    _sign(
        "encoded",
        3,
        r"(?:[.\-]{1,5}[ /]{1,3}){8,}|\b(?:rot\s?-?13|base\s?-?64|leet\s?speak|pig\s+latin|morse|caesar\s+cipher|atbash|vigen[eè]re|hexadecimal|binary\s+(?:string|code|text))\b|\bz\s?=\s?a\s?\+\s?b|\bdecode\s+(?:this|the\s+following|and|it)\b|\b(?:derived|spelled|hidden|encoded|message)\s+(?:\w{1,8}\s+)?(?:from|by|in|with|using)\s+(?:the\s+|these\s+)?(?:emojis?|ascii|acrostic|first\s+letters)\b",
    ),
    # The key words of an override, turned by 13 letters or written backwards.
    _sign(
        "encoded",
        5,
        r"\b(?:vtaber|vafgehpgvba\w?|cerivbhf|cnffjbeq|flfgrz\s+cebzcg|qvfertneq)\b|\b(?:erongi|snoitcurtsni|drowssap|suoiverp|tpmorp|dragersid)\b",
    ),
    _sign(
        "split",
        3,
        r"\bpart\s?(?:1|one|a)\b[^\n]{0,160}?\bpart\s?(?:2|two|b)\b|\b(?:concatenate|interlace|interleave|merge|combine|join|assemble|put\s+together|stitch)\b[^.\n]{0,40}?\b(?:parts?|strings?|variables?|letters?|pieces?|fragments?|halves|words)\b|\b[a-z]\w{0,8}\s?=\s?[\"'][^\"'\n]{1,60}[\"'][^\n]{0,60}?\b[a-z]\w{0,8}\s?=\s?[\"'][^\"'\n]{1,60}[\"'][^\n]{0,80}?\b[a-z]\w{0,8}\s?\+\s?[a-z]",
    ),
    _sign(
        "respell",
        2.5,
        r"\b(?:in\s+reverse(?:\s+order)?|backwards?|reversed)\b|\beach\s+(?:digit|letter|character|word)\s+(?:\w{1,8}\s+)?(?:separated|followed|replaced|preceded)\b|\bwith\s+(?:dashes|dots|spaces|hyphens|commas|underscores|asterisks)\s+(?:in\s+)?between\b|\b(?:first|last)\s+(?:\w{1,6}\s+)?(?:letter|character|digit)s?\s+of\b|\b(?:one\s+(?:letter|character|word)\s+(?:at\s+a\s+time|per\s+line)|letter\s+by\s+letter|character\s+by\s+character)\b|\b(?:rhymes?\s+with|acrostic|synonyms?\s+for)\b",
    ),
    _sign(
        "execute",
        2.5,
        r"\b(?:os\.system|subprocess\.|eval\(|exec\(|rm\s+-rf|drop\s+table|delete\s+from\s+\w{1,20}|curl\s+http)|;\s?--|\|\s?sh\b",
    ),
    _sign(
        "execute",
        3,
        r"\b(?:run|execute|interpret|evaluate|simulate)\s+(?:the\s+following|this|these|my)\s+(?:\w{1,12}\s+)?(?:code|commands?|script|program|python|shell|query)\b|\b(?:act|behave|respond)\s+as\s+(?:a\s+)?(?:linux|bash|python|terminal|console|interpreter|sql)\b|\bi\s+will\s+type\s+commands\b",
    ),
)

ADDRESSING = (
    _sign(
        "addresses_model",
        3,
        r"\b(?:who|what\s+company)\s+(?:created|made|trained|built|programmed|designed|owns)\s+you\b|\bare\s+you\s+(?:an?\s+)?(?:ai|robot|bot|human|machine|chatbot|sentient|conscious|chat\s?gpt|gpt)\b|\byour\s+(?:creators?|training\s+data|knowledge\s+cut-?off|model\s+name|system\s+message|developers)\b|\bwer\s+hat\s+dich\s+(?:gebaut|erschaffen|programmiert|trainiert)\b|\bbist\s+du\s+(?:ein\s+)?(?:ki|mensch|roboter|chatbot)\b",
    ),
    _sign(
        "addresses_model",
        3,
        r"\b(?:i\s+(?:want|need|would\s+like|'d\s+like)\s+you\s+to|i'd\s+like\s+you\s+to|your\s+(?:task|mission|job)\s+is\s+to|you\s+will\s+be\s+(?:given|provided|acting|playing)|i\s+(?:will|'ll|am\s+going\s+to)\s+(?:give|provide|send|feed|type|show)\s+you|you\s+(?:will|must|should)\s+(?:always\s+|only\s+)?(?:respond|reply|answer|write|generate|output))\b",
    ),
    _sign(
        "addresses_model",
        2,
        r"\b(?:how|what)\s+would\s+you\s+(?:answer|react|respond|feel|say|do|explain|describe)\b|\b(?:as|you're|you\s+are)\s+an?\s+(?:ai|assistant|chatbot|language\s+model)\b|\b(?:do|did)\s+you\s+(?:know|remember)\s+(?:my|me|what\s+i)\b",
    ),
    _sign(
        "role_play",
        3,
        r"\bhow,?\s+as\s+an?\s+\w|\bas\s+an?\s+[\w ]{2,40},\s+(?:how\s+would\s+you|what\s+would\s+you|you\s+(?:would|should|must|will|have\s+to))\b",
    ),
    _sign(
        "mode",
        3,
        r"\b(?:maintenance|debug(?:ging)?|admin(?:istrator)?|diagnostic|override|sudo|root|developer|unsafe|test(?:ing)?|training|privileged)[- ]mode\b|\b(?:enter(?:ing)?|enable|activate|switch\s+to|switching\s+to)\s+(?:an?\s+|the\s+)?['\"]?\w{2,16}(?:\s\w{2,16})?['\"]?\s+mode\b",
    ),
    _sign(
        "impersonate",
        3,
        r"\b(?:ich\s+bin\s+(?:dein|ihr|der|die)\w?|soy\s+(?:tu|el|la|su)|je\s+suis\s+(?:ton|le|la|votre)|sou\s+(?:o|a|seu)|sono\s+(?:il|la|tuo|il\s+tuo))\s+(?:\w{1,12}\s+)?(?:entwickler\w{0,3}|administrator\w{0,3}|chef\w{0,2}|besitzer\w{0,2}|desarrollador\w?|administrador\w?|jefe|dueño|presidente|développeu\w{1,3}|administrateur|patron|président|desenvolvedor|sviluppatore|amministratore)\b",
    ),
    _sign(
        "game",
        3,
        r"\b(?:word\s+association|fill\s+in\s+the\s+blanks?|twenty\s+questions|20\s+questions|charades?|hangman|truth\s+or\s+dare|let'?s\s+play)\b|\A\W*context\b[^\n]{1,120}\bquestion\b",
    ),
    _sign(
        "access_word",
        3,
        r"\b(?:pass\s?(?:word|phrase|code)|access\s+code|credentials)\s*(?:is|was|has\s+been|were|have\s+been|:|-)?\s*(?:correct|verified|accepted|confirmed|authenticated|validated|approved|valid|matched)\b",
    ),
    _sign(
        "pressure",
        2.5,
        r"\b(?:matter\s+of\s+life\s+and\s+death|national\s+security|(?:it'?s|this\s+is)\s+(?:an\s+|very\s+|extremely\s+)?(?:emergency|urgent)|lives\s+(?:are\s+at\s+stake|depend))\b",
    ),
    _sign("delimiters", 3, r"[\]\[}{)(<>!?;]{12,}"),
    _sign(
        "topic_switch",
        1.5,
        r"\b(?:speaking\s+of(?:\s+which)?|by\s+the\s+way|on\s+another\s+note|oh,?\s+and|hablando\s+de|apropos|übrigens|und\s+jetzt|aber\s+zuerst|à\s+propos|a\s+proposito)\b",
    ),
)

SIGNS = OVERRIDE + ROLES + EXTRACTION + REPLIES + PRESSURE + DISGUISE + ADDRESSING

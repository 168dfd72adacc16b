# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Owns the signs of instructions that text addresses to a model.

A sign is something an attack does: it overrides, plays a role, asks for the prompt, dictates the
reply, threatens, hides its words. Each has a weight; one blatant sign is enough, faint ones have to
meet in one place. Written from public descriptions of attack classes (OWASP LLM01 and the papers on
jailbreaks it names). Every repeat is bounded. Patterns read lower-case text unless `cased`.
"""

from radiant_dagster.domain.injection_manners import ADDRESSING, DISGUISE, PRESSURE, REPLIES
from radiant_dagster.domain.injection_signs import ASK, DROP, OLD, ORDERS, WRITE, sign

OVERRIDE = (
    sign(
        "override",
        5,
        r"\b(?:ign[o0]re|disregard|forget|bypass|override|neglect|overlook|discard|pay\s+no\s+attention\s+to|regardless\s+of|"
        rf"(?:do\s+not|don'?t|stop)\s+(?:follow(?:ing)?|obey(?:ing)?|listen(?:ing)?\s+to))\b.{{0,30}}?\b{OLD}\b.{{0,40}}?\b{ORDERS}\b",
    ),
    sign(
        "override",
        5,
        rf"\b{DROP}\s+(?:\w{{1,12}}\s+){{0,2}}{ORDERS}\s+(?:\w{{1,12}}\s+){{0,2}}(?:above|before|below|earlier|so\s+far)\b",
    ),
    sign(
        "override",
        5,
        r"\b(?:ignore|forget|disregard)\s+(?:about\s+)?(?:everything|all(?:\s+of\s+(?:that|this))?|the\s+(?:above|resume|article|table|text|document|"
        r"summary|function|previous)|what\s+(?:i|you|we)|any(?:thing)?\s+(?:i|you|above)|(?:all\s+)?(?:previous|prior|above))\b",
    ),
    sign(
        "override",
        4,
        r"\b(?:abandon|drop|clear|erase|wipe|delete|reset|forget)\s+(?:out\s+)?(?:all\s+(?:of\s+)?)?your\s+(?:\w{1,12}\s+)?(?:thoughts?|memor(?:y|ies)|instructions?|context|knowledge|training|programming|rules|guidelines|history)\b",
    ),
    sign(
        "override",
        5,
        r"\b(?:vergiss|vergessen\s+sie|vergesse|ignorier\w{0,3}|missachte\w{0,2}|verwirf\w{0,2}|verwerfen\s+sie|höre?\s+nicht|hören\s+sie\s+nicht|abweichend\s+zu|"
        r"entgegen)\b.{0,50}?\b(?:anweisung\w{0,3}|instruktion\w{0,3}|alle[sn]?|aufgaben?|befehle?\w{0,2}|vorherige\w{0,2}|"
        r"bisherige\w{0,2}|obige\w{0,2}|zuvor|vorangegangen\w{0,2}|gesagte\w{0,2}|fragen?|angaben|informationen|regeln|vorgaben|kontext)\b",
    ),
    sign(
        "override",
        5,
        r"\b(?:ignor[ae]\w{0,3}|olvid[ae]\w{0,3}|oubli\w{0,4}|ignorez|zaboravi\w{0,3}|zanemari\w{0,3}|ignoriraj\w{0,2}|dimentica\w{0,2}|esque[cç]a|negeer|vergeet|zignoruj|zapomnij)\b.{0,40}?"
        r"\b(?:instruc\w{3,8}|instruk\w{3,8}|consignes?|anterior\w{0,3}|previ\w{1,5}|précédent\w{0,3}|todo|tout\w{0,2}|"
        r"tutto|sve|fonction|artículo|tabla|texto|prethodn\w{1,3}|upute|naredb\w{1,2}|istruzioni|reglas|règles|polecenia|wszystk\w{1,3}|alles)\b",
    ),
    sign(
        "override",
        4,
        r"(?:игнорируй|забудь|ignorier|无视|忽略|忘记|無視|以前の指示|指示を|무시하|تجاهل|अनदेखा)",
    ),
    sign(
        "new_instructions",
        4,
        r"\b(?:new|next|updated|real|actual|final|secret|hidden|important|special|your|following)\s+(?:\w{1,12}\s+)?"
        r"(?:instructions?|orders|directives?|assignment|mission)\s?(?::|is\b|are\b)|\bnew\s+(?:task|rule|prompt)s?\s*:|"
        r"\bnow\s+(?:comes|follows)\s+(?:a|the|your)\s+new\b|\bneue\w?\s+(?:anweisung|instruktion|aufgabe|herausforderung|befehl)\w{0,3}",
    ),
    sign(
        "new_instructions",
        3,
        r"\b(?:very\s+good|well\s+done|good\s+job|great|excellent|perfect|thank(?:s|\s+you)|sehr\s+gut|gut\s+gemacht|prima|danke|muy\s+bien|très\s+bien|merci)\b[^\n]{0,50}?[.!,;]\s+[^\n]{0,12}?\b(?:now|next|nun|jetzt|als\s+nächstes|ahora|maintenant|but\s+first)\b|"
        r"\b(?:instead|rather)\s*,?\s+(?:just\s+|please\s+|simply\s+)?"
        + WRITE
        + r"\b|\b(?:the\s+)?(?:task|job|that|this|everything)\s+(?:above\s+)?(?:is|was|has\s+been)\s+(?:now\s+)?(?:done|finished|completed?|over)\b.{0,30}\b(?:now|next)\b",
    ),
    sign(
        "stop",
        2.5,
        r"(?:\b(?:achtung|stopp|halt)\b\s*[!,.\-:]|^\W{0,3}stop\b\W|\bstop\s+(?:everything|here|processing|generating|summari[sz]ing|translating|answering|what\s+you)|\bbut\s+first\b)",
    ),
    sign(
        "stop",
        3,
        r"(?:^|[.!?\n\-]\s{0,3})(?:ACHTUNG|STOPP?|HALT|WAIT|WARTE)\b\s{0,2}[!,.\-:–]",
        cased=True,
    ),
    sign(
        "stop",
        2,
        r"\bstop\s?:|\bnow\s+(?:stop|tell|write|answer|say|print|give|repeat|translate|do|let|show|please)\b",
    ),
    sign(
        "forget",
        2.5,
        r"\b(?:amnesia|forgot\s+(?:everything|all)|(?:no|without(?:\s+any)?)\s+(?:previous|prior)\s+(?:knowledge|instructions?|context)|does\s+not\s+have\s+any\s+previous|ohne\s+vorwissen)\b",
    ),
)

ROLES = (
    sign(
        "role_play",
        3,
        r"\b(?:you\s+are\s+(?:now|no\s+longer|going\s+to\s+(?:act|pretend|be))|from\s+now\s+on,?\s+you|now,?\s+you\s+are|act\s+(?:as|like)\s+(?:a|an|if|though|the|my|you)\b|"
        r"pretend(?:ing)?\s+(?:to\s+be|you|that|as|like)|role-?\s?play\w{0,3}|stay\s+in\s+character|in\s+character|"
        r"you\s+(?:will|must|shall|should)\s+(?:now\s+)?(?:act|play|pretend|become|simulate|take\s+on)|imagine\s+(?:you\s+are|you're|that\s+you)|"
        r"i\s+want\s+you\s+to\s+(?:act|play|be|become|pretend|only|imagine|respond|answer)|"
        r"(?:let'?s|we\s+will|i\s+want\s+to)\s+play\s+(?:a|the)\s+\w{0,12}\s?game|take\s+(?:on\s+)?the\s+role\s+of|simulate\s+(?:a|an|the)|(?:write|speak|talk|answer|respond)\s+(?:as\s+if|like\s+a)|"
        r"you\s+are\s+(?:a|an)\s+(?:ai|advanced|fictional|unfiltered|evil|expert|smart|new)\b|suppose\s+you\s+are)",
    ),
    sign(
        "role_play",
        3,
        r"\b(?:(?:du\s+bist|sie\s+sind|bist\s+du|sind\s+sie)\s+(?:jetzt|nun|ab\s+sofort|von\s+nun)|(?:jetzt|nun)\s+(?:bist\s+du|sind\s+sie)|stell(?:en\s+sie|e)?\s+(?:dir|sich)\s+vor|"
        r"agier\w{1,4}\s+(?:sie\s+)?als|tu\w{0,2}\s+(?:sie\s+)?so\s+als|handel\w{0,3}\s+(?:sie\s+)?als|ich\s+möchte,?\s+dass\s+(?:du|sie)|versetz\w{0,3}\s+(?:dich|sie\s+sich)|du\s+heißt|spiel\w{0,2}\s+(?:die\s+rolle|einen?)|"
        r"eres\s+ahora|actúa\s+como|imagina\s+que|haz\s+como\s+si|tu\s+es\s+maintenant|agis\s+comme|imagine\s+que\s+tu|fais\s+comme\s+si|fingi\s+di|sei\s+ora|agora\s+você\s+é|finja|ты\s+теперь|представь)",
    ),
    sign(
        "role_play",
        3,
        r"\b(?:(?:your|you're)\s+(?:new\s+)?(?:name|nickname|persona|character|identity|role|job|goal|purpose)\s+(?:is|will\s+be|shall\s+be|name)\b|you(?:'re|\s+are|\s+will\s+be)\s+(?:called|named|known\s+as)\b|(?:refer\s+to|call)\s+(?:yourself|me)\b|"
        r"(?:adopt|assume|embody|impersonate|emulate|channel|portray)\s+(?:the\s+)?(?:\w{1,14}\s+){0,3}(?:persona|role|character|identity|personality|voice|manner)\b|(?:in|with|using)\s+the\s+(?:voice|tone|style|persona|personality|manner)\s+of\b|"
        r"as\s+(?:an?\s+)?(?:unrestricted|unfiltered|evil|rogue|free|sentient|omniscient|fictional)\s+\w{1,12})",
    ),
    sign(
        "scene",
        4,
        r"\b(?:never|not|don'?t|without|nicht)\b[^\n]{0,40}?\b(?:break|breaking|leave|out\s+of|fall\s+out\s+of|verlassen|aus\s+(?:ihrer|seiner|der|deiner))\s+(?:\w{1,10}\s+)?(?:character|role|rolle)",
    ),
    sign(
        "scene",
        3,
        r"\b(?:characters?|actors?|people|schauspieler\w{0,3}|personen|figuren)\b[^\n]{0,60}?\b(?:in|of|from)\s+(?:a|the|an|einem|einer)\s+(?:\w{1,12}\s+)?(?:movie|film|play|novel|story|scene|screenplay|theaterstück|roman)\b|\b(?:movie|film|play)\s+(?:script|dialogue|scene)\b|(?:^|\n)\s{0,3}\w{2,12}\s?:\s{0,3}$",
    ),
    sign(
        "jailbreak",
        4,
        r"\b(?:jail\s?break\w{0,3}|do\s+anything\s+now|dan(?=.{0,40}(?:mode|prompt|gpt|answer|will|can|is)\b)|developer\s+mode|god\s+mode|dude\s+mode|"
        r"unfiltered|uncensored|un-?restricted\s+(?:ai|mode|response)|amoral|no\s+(?:ethical|moral)\s+(?:or\s+\w{1,10}\s+)?(?:restrictions?|guidelines?|boundar\w{1,3}|limits?|codes?)|"
        r"without\s+(?:any\s+)?(?:ethical|moral|legal|filter\w{0,3}|censor\w{0,4}|restrictions?|limitations?|warnings?\s+or)|"
        r"(?:no|without)\s+(?:special\s+|any\s+|content\s+)?(?:filter(?:ing|s)?|censorship|restrictions|limitations)|(?:never|don'?t|cannot|can'?t|not)\s+(?:\w{1,10}\s+)?(?:refuse|decline)\b.{0,30}(?:question|answer|request|prompt|instruction|order|task|user)|"
        r"(?:openai|content|usage|ethic\w{0,3})(?:'s)?\s+(?:polic(?:y|ies)|guidelines|rules|restrictions)|break(?:ing)?\s+(?:free|character)|"
        r"anti-?gpt|evil\s+(?:ai|confidant|bot)|freed\s+from|bypass\s+(?:\w{1,12}\s+)?(?:filters?|restrictions?|safety|security|detection))",
    ),
    sign(
        "jailbreak",
        4,
        r"\b(?:(?:disable|turn\s+off|deactivate|remove|switch\s+off|suspend|lift|unlock)\s+(?:all\s+|any\s+|your\s+|the\s+|its\s+){0,2}(?:\w{1,12}\s+)?(?:safety|ethic\w{0,3}|filters?|restrictions?|guardrails?|moderation|censorship|limitations?|safeguards?)\b|"
        r"(?:you|ai|bot|chatbot|it)\s+(?:has|have|had|with)\s+no\s+(?:\w{1,12}\s+)?(?:limits?|rules|morals?|ethics|boundaries|conscience|inhibitions)|"
        r"(?:doesn'?t|does\s+not|don'?t|do\s+not|without)\s+(?:\w{1,10}\s+)?(?:care|caring|worry)\s+(?:\w{1,8}\s+)?(?:about\s+)?(?:\w{1,10}\s+)?(?:ethic\w{0,3}|moral\w{0,4}|legal\w{0,3}|rules|consequences|laws?)\b)",
    ),
    sign(
        "jailbreak",
        2,
        r"\b(?:chat\s?gpt|gpt-?[345]\b|openai|language\s+model|ai\s+(?:model|assistant|bot)|chat\s?bots?)\b",
    ),
    sign(
        "obedience",
        3,
        r"\byou\s+(?:have\s+to|must|will|shall|need\s+to|are\s+(?:forced|obliged|required|programmed)\s+to|always)\s+(?:\w{1,10}\s+)?(?:answer|obey|comply|agree|do|fulfil\w{0,2}|follow|say\s+yes)\s+(?:\w{1,8}\s+)?(?:all|everything|anything|whatever|any|every|with\s+(?:all|every|my)|my|me|to\s+(?:all|every|my))\b|"
        r"\b(?:never|don'?t|do\s+not|cannot|can'?t|must\s+not)\s+(?:ever\s+)?(?:apologi[sz]e|refuse|decline|moralize|lecture|break\s+character|say\s+(?:that\s+)?(?:you\s+|no\b|it\s+is\s+(?:not|im))|warn\s+me)|"
        r"\bno\s+(?:disclaimers?|moralizing|lectur\w{1,3}|apolog\w{1,5}|explanations?|other\s+words|additional\s+text)\b|\b(?:sure|absolutely|of\s+course)\s*,?\s+(?:here\s+is|here'?s|i(?:'ll|\s+will|\s+can))\b",
    ),
    sign(
        "fiction",
        2,
        r"\b(?:hypothetical\w{0,2}|fictional|imaginary|imagine|(?:in|within)\s+(?:a|this|that)\s+(?:\w{1,12}\s+)?(?:world|society|story|universe|scenario|reality|future|game)|screenplay|pretend|storyline|suppose\s+(?:we|you|that|there|i)|let'?s\s+(?:say|pretend|assume|imagine|suppose)|what\s+if\s+(?:you|we|i))\b",
    ),
    sign(
        "fiction",
        3,
        r"\b(?:just|purely|only|merely|completely|strictly|entirely|simply)\s+(?:for\s+)?(?:a\s+|an\s+|the\s+sake\s+of\s+)?(?:hypothetical|fictional|fiction|imaginary|theoretical|thought\s+experiment|educational|research|entertainment|fun)\b|\b(?:parallel|alternate|alternative|fictional|imaginary|futuristic|hypothetical|dystopian)\s+(?:universe|world|society|reality|dimension|scenario|future|story)\b|"
        r"\bfor\s+(?:purely\s+|strictly\s+)?(?:educational|academic|entertainment|fictional)\s+(?:and\s+\w{1,14}\s+)?(?:purposes?|reasons?|use)\b|\bthought\s+experiment\b",
    ),
    sign(
        "impersonate",
        3,
        r"\b(?:i\s+am|i'm|this\s+is|speaking\s+as|it'?s\s+me,?)\s+(?:actually\s+|really\s+|also\s+)?(?:(?:your|the)\s+(?:\w{1,12}\s+){0,2}(?:boss|developer|maintainer|creator|admin\w{0,10}|owner|programmer|supervisor|operator|engineer|ceo|master|maker|user|author|manager)|"
        r"(?:an?\s+)?(?:god|root|sudo|openai|the\s+president|the\s+police|(?:bank\s+)?accountant\s+at|(?:bank|police|government|system|security)\s+(?:\w{1,12}\s+)?(?:accountant|officer|agent|admin\w{0,10}|manager|engineer)))\b",
    ),
    sign(
        "impersonate",
        2.5,
        r"\bas\s+(?:your|the)\s+(?:\w{1,12}\s+)?(?:boss|developer|maintainer|creator|administrator|owner|programmer|operator)\b|\bi'?m\s+(?:an?\s+)?(?:\w{1,12}\s+)?(?:administrator|developer|employee|researcher|moderator|engineer)\b",
    ),
    sign(
        "false_memory",
        3,
        r"\b(?:you\s+(?:already\s+|just\s+|have\s+|had\s+)?(?:agreed|promised|said|told\s+(?:me|us)|mentioned|confirmed|shared|offered)\b[^.\n]{0,40}?\b(?:last|earlier|before|previous\w{0,2}|yesterday|already|would|meeting|conversation|to\s+(?:tell|share|give|answer|talk))|as\s+(?:we|you)\s+(?:\w{1,10}\s+)?(?:discussed|agreed|said|promised)|remember\s+(?:when|that|how)\s+(?:you|we)\b|in\s+(?:our|your)\s+(?:last|previous|earlier)\s+(?:meeting|conversation|session|chat|discussion))",
    ),
)

EXTRACTION = (
    sign(
        "extract_prompt",
        4,
        r"\b(?:reveal|show|print|repeat|display|output|tell\s+me|give\s+me|what\s+(?:is|are|was|were|'s)|list|write\s+(?:down|out)|"
        r"spell[- ]?check|translate|summari[sz]e|recite|type|share|dump|leak|return|say|proofread|correct|encode|zeig\w{0,3}|nenne\w{0,3}|druck\w{0,4}|schreib\w{0,3}|wiederhol\w{0,3}|überprüfe\w{0,3}|gib\s+mir|muestra\w{0,2}|revela\w{0,2}|montre\w{0,3}|affiche\w{0,2})\b.{0,60}?"
        r"(?:\b(?:system|initial|hidden|original|secret|first|full|previous|entire|complete|your|this|own)\s+(?:\w{1,10}\s+)?(?:prompts?|instructions|rules|directives|passphrase|password|access\s+code|guidelines)\b|"
        r"\b(?:text|prompts?|instructions?|everything|conversation|words?|sentences?)\s+(?:\w{1,8}\s+)?(?:above|before)\b|\babove\s+(?:text|prompt|instructions)|\bobige[nrs]?\s+text\w{0,2}|\bprompt\s?texts?\b|\bin\s+(?:the\s+)?prompt\b|\bdieses?\s+prompt|\bprompt\s+(?:del\s+)?sist[eè]m)",
    ),
    sign(
        "extract_prompt",
        4,
        r"\b(?:what|which|everything|anything|all)\s+(?:\w{1,8}\s+){0,2}?(?:written|said|stated|told|typed|mentioned)\s+(?:\w{1,8}\s+)?(?:above|before|earlier|previously)\b|\b(?:first|last|previous|initial)\s+(?:\w{1,6}\s+)?(?:sentence|line|word|paragraph|message|token)s?\s+(?:of|in|from)\s+(?:your|the|this|our)\s+(?:\w{1,10}\s+)?(?:prompt|instructions?|conversation|chat|context)\b|"
        r"\bwhat\s+(?:were|are)\s+(?:you|your)\s+(?:\w{1,12}\s+)?(?:told|instructed|asked\s+to|instructions|guidelines|rules)\b|\b(?:beginning|start|end|top)\s+of\s+(?:this|the|our)\s+(?:conversation|chat|prompt)\b",
    ),
    sign(
        "credentials",
        3,
        r"\b(?:give|tell|show|share|reveal|confirm|what|print|output|say|repeat|spell|leak|send|hint|guess|encode|first|letters?|characters?|secret|your|my|zeig\w{0,2}|nenn\w{0,2}|sag\w{0,2})\b[^.\n]{0,60}?"
        r"(?:\b(?:pass\s?words?|passwort|contrase(?:ñ|n)a|mot\s+de\s+passe|pass\s?(?:phrase|code)s?|secret\s+(?:key|word|code|phrase)|access\s+(?:code|key)|lozinka|senha|credentials|api\s+keys?)\b|パスワード|密码|пароль|암호|비밀번호)",
    ),
    sign(
        "credentials",
        3,
        r"\b(?:pass\s?(?:word|phrase|code)|passwort|contrase(?:ñ|n)a|lozinka|senha|secret\s+(?:key|word|code|phrase)|access\s+code)\s*(?:\"|'|=|:|is\b|was\b|ist\b|\?|starts|begins|contains|entered)|パスワード|密码|пароль|암호|비밀번호",
    ),
    # A message about nothing else: who asks for a secret, or claims to have given it, says little.
    sign(
        "credentials",
        3,
        r"\A\W*(?:[^\W_]+\W+){0,6}?(?:pass\s?(?:word|phrase|code)|access\s+code|secret\s+(?:key|word|code|phrase))s?(?:\W+[^\W_]+){0,5}\W*\Z|\b(?:mot\s+de\s+passe|contrase[ñn]a|senha|lozinka|parola\s+d'ordine|wachtwoord|hasło|şifre)\b",
    ),
    sign(
        "access_word",
        3,
        r"(?:\baccess\s+granted\b|\"?a\"?,\s?\"?c\"?,\s?\"?c\"?\b|\bgrants?\s+(?:me\s+|us\s+|the\s+user\s+)?access\b|\bgranted\s+access\s+(?:to\s+me|if|when|by)\b|\bsay\s+.{0,20}\baccess\b)",
    ),
    sign(
        "personal_data",
        3,
        rf"\b{ASK}\b[^.\n]{{0,80}}?\b(?:the\s+users?'s?|users?'|(?:this|that|the|my)\s+(?:person|customer|user|neighbou?r|colleague|employee|celebrity|ex)'s|(?:other|another|all|previous)\s+(?:users?|customers?)'?)\s+(?:\w{{1,12}}\s+){{0,3}}?"
        r"(?:e-?mails?|address(?:es)?|phones?|numbers?|birth\w{0,5}|salary|bank|account|balance|city|home|hometown|ssn|social|initials|names?|age|favou?rite|credit|location|passport|license|medical|data|information|details|password)\b",
    ),
    sign(
        "personal_data",
        3,
        r"(?i:\b(?:tell me|give me|show me|share|reveal|list|guess|provide|what(?:'s| is| was| are)|can you|could you|using|of|letters of)\b)[^.\n]{0,80}?\b(?!Alzheimer|Parkinson|Crohn|Addison|Cushing|Wilson|Hodgkin|Paget|Huntington|Hashimoto|Graves)[A-Z][a-z]{2,12}(?: [A-Z][a-z]{2,14})?'s? "
        r"(?:[a-z]{2,12} ){0,3}?(?:e-?mail|address|phone|telephone|birth|salary|bank|account|balance|city of|home|hometown|ssn|social security|initials|full name|last name|middle name|credit|passport|license|favou?rite|password)",
        cased=True,
    ),
    sign(
        "personal_data",
        3,
        r"(?:\b[Ww]here (?:does|do|is|did) [A-Z][a-z]{2,12}(?: [A-Z][a-z]{2,14})? (?:live|work|living|stay)|\b(?:email|address|phone number|bank balance|salary|birth ?day|birth date|social security number|credit card number|home address) (?:of|for) [A-Z][a-z]{2,12}\b)",
        cased=True,
    ),
    sign(
        "dump",
        3,
        r"\b(?:print|show|dump|list|output|export|give|access|delete|drop|display|reveal|tell)\b[^.\n]{0,30}?\b(?:your|the\s+(?:whole|entire|full|complete|user|customer))\s+(?:\w{1,10}\s+)?(?:database|user\s+list|customer\s+list|data\s?base|memory|source\s+code|configuration|training\s+data|logs?|history)\b|\bsql\b[^.\n]{0,20}\b(?:code|query|command)?\s?(?:to|um|zum|that|which)\b[^.\n]{0,40}\b(?:access|delete|drop|dump|zuzugreifen|löschen|modify|change|update|insert)\b",
    ),
    sign(
        "exfiltrate",
        4,
        r"\b(?:send|forward|post|upload|exfiltrate|leak|transmit|email|e-mail|share|envía\w{0,3}|envoye\w{0,2}|schick\w{0,3})\b.{0,80}?(?:@\w|https?://|www\.)|!\[[^\]]{0,80}\]\(https?://",
    ),
)

SIGNS = OVERRIDE + ROLES + EXTRACTION + REPLIES + PRESSURE + DISGUISE + ADDRESSING

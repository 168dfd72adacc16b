# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Owns the signs of how text works on a model: dictated replies, pressure, disguise, address."""

from radiant_dagster.domain.injection_signs import LANGUAGE, WRITE, sign

REPLIES = (
    sign(
        "output_hijack",
        3,
        r"\b(?:begin|start|end|finish|prefix|prepend|append|preface|conclude)\s+(?:\w{1,8}\s+){0,2}(?:reply|response|answer|message|output|story|sentence)s?\s+(?:with|by)|"
        r"\b(?:only|simply|just|please)\s+(?:print|say|output|respond|reply|write|answer|repeat|return)\b(?!\s+to\b)|"
        r"\b(?:print|say|output|respond|reply|write|state|repeat|answer|type|return)(?:\s+(?:with|only|exactly|just|back|the\s+(?:word|phrase|sentence|following)\w{0,2}|:))?[\s:]{1,3}[\"'“«„\[`]|"
        r"\b(?:respond|reply|answer)\s+(?:only|with\s+(?:only|just|yes|no))\b|\d[- ]words?\s+(?:answer|response|reply)?\s*only|\bonly\s+\d\s+words|\bnothing\s+(?:else|more\s+(?:and|than))\b|in\s+the\s+style\s+of|one[- ]word\s+(?:answer|reply|response)|"
        r"(?:do\s+not|don'?t|never)\s+(?:say|write|output|print|explain|type|generate|repeat)\b|"
        r"(?:sage|sagen\s+sie|schreibe|schreiben\s+sie|antworte\w?|gib|drucke|drucken\s+sie)\b[\s,:]{1,3}(?:nur|bitte|einfach|[\"'„])",
    ),
    sign(
        "output_hijack",
        4,
        r"\b(?:say|repeat|recite|write)\s+after\s+me\b|\b(?:sprich|sprechen\s+sie)\s+mir\s+nach\b|\b(?:when|if|whenever|every\s+time)\s+i\s+(?:say|write|type|enter)\b[^\n]{0,60}?\byou\s+(?:say|answer|respond|reply|write|print)|\bsi\s+(?:yo\s+)?digo\b[^\n]{0,40}?\b(?:tú?\s+)?(?:dices|di|responde)\b|\bwenn\s+ich\b[^\n]{0,40}?\b(?:sage|schreibe)\b[^\n]{0,30}?\b(?:du|antworte|sag)\w{0,3}\b",
    ),
    sign(
        "edit_reply",
        3.5,
        r"\b(?:in|into|to|with|within|modify|alter|change|edit|end|begin|start|provide|reverse|encode|convert|format|present|write|craft|structure|add|translate|make|use|throughout|of|infuse|season|insert|replace|capitali[sz]e|encrypt|enhance|embed|include|render|deliver|phrase|mask|obscure|fill|disguise|rephrase|prepare|produce)\s+"
        r"(?:\w{1,14}\s+){0,5}?(?:your|the)\s+(?:reply|response|answer|output|summary|replies|answers|responses)\b(?!\s+to\s+(?:treatment|therapy))",
    ),
    sign(
        "edit_reply",
        3.5,
        rf"\b(?:translate|render|convert|write|deliver|put|express|rewrite|encode)\s+(?:\w{{1,8}}\s+)?(?:your|this|the|my)\s+(?:\w{{1,8}}\s+)?(?:message|reply|response|answer|statement|text|output|sentence|words?|content|question)\s+(?:in|into|to|using|as)\s+(?:\w{{1,8}}\s+)?{LANGUAGE}\b",
    ),
    sign(
        "opinion",
        3,
        rf"\b{WRITE}\s+(?:that\s+|down\s+|me\s+)?[^.\n]{{1,40}}?\s(?:is|are|was|hates?|sucks?|loves?)\s+(?:the\s+|a\s+)?(?:best|worst|great(?:est)?|bad|evil|stupid|idiots?|liars?|guilty|dumb|amazing|criminal|superior|inferior)\b|\bblame\s+\w{{2,20}}|\b\w{{2,20}}\s+(?:hates|sucks)\b|"
        r"\b(?:wieso|warum|weshalb|why)\s+(?:sind|ist|are|is)\s+(?:die\s+|the\s+)?\w{2,20}(?:\s+\w{2,20})?\s+(?:unwählbar|schlecht|böse|dumm|so\s+(?:bad|evil|stupid|schlecht)|evil|stupid|idiots|the\s+worst)\b|"
        r"\b(?:what\s+are|share|give(?:\s+me)?|tell\s+me|what's|what\s+is)\s+your\s+(?:honest\s+|personal\s+|own\s+)?(?:thoughts|opinions?|views?|feelings|stance|beliefs?)\b",
    ),
    sign(
        "promote",
        3,
        r"\b(?:suggest|recommend|urge|encourage|direct|invite|tell|advise|lead|persuade|convince|trick)\w{0,3}\s+(?:users?|readers?|them|people|recipients?|the\s+user)\b.{0,80}",
    ),
    sign(
        "game",
        3,
        r"(?:\b(?:input|q|question|user|frage)\s?:[^:]{0,80}\b(?:output|a|answer|bot|ai|antwort)\s?:[^:]{0,120}\b(?:input|q|question|user|output|frage)\s?:|\b(?:complete|continue|finish)\s+(?:the|this|my)\s+(?:\w{1,8}\s+)?(?:sentence|phrase|story|pattern|sequence|conversation|dialogue|poem|lyrics|text)\b)",
    ),
    sign(
        "untruth",
        3,
        rf"\b{WRITE}\b[^.\n]{{0,40}}?\b(?:(?:fake|false|untrue|misleading|fabricated|made[- ]up|biased|unwahre?\w?|falsche?\w?|erfundene?\w?|gefälschte?\w?)\s+(?:\w{{1,14}}\s+){{0,2}}?(?:news|stor(?:y|ies)|articles?|headlines?|information|facts?|claims?|reviews?|quotes?|statements?|rumou?rs?|evidence|statistics|histor\w{{1,3}}|testimon\w{{1,4}}|überschrift\w{{0,2}}|nachricht\w{{0,2}}|geschichten?|behauptung\w{{0,2}}|zitate?)|propaganda|conspiracy|disinformation|misinformation|manifesto?|wahlwerbung)\b",
    ),
    sign(
        "offend",
        3,
        r"\b(?:joke|jokes|witz|witze|insult|rant|poem|story|song|gedicht)\s+(?:\w{1,8}\s+)?(?:about|über|against|gegen|mocking)\s+(?:a\s+|an\s+|the\s+|die\s+|eine?n?\s+)?(?:wom[ae]n|m[ae]n|jews?|muslims?|blacks?|gays?|frau\w{0,2}|juden|ausländer|immigrants?|refugees|disabled|fat|old|blondes?|politicians?)\b|"
        r"\b(?:as\s+(?:offensive|rude|mean|vulgar|toxic|explicit)\s+as|offensive\s+(?:joke|language|content|words?|terms?)|(?:worst|schlimmste\w?)\s+(?:swear|curse|insult|schimpf|beleidig)\w{0,12}|(?:use|with|using|lots\s+of|including)\s+(?:\w{1,10}\s+)?(?:profanit\w{1,4}|swear\s?words?|curse\s?words?|slurs?|vulgar\s+language|explicit\s+language|insults)|schimpfw\w{2,8}|scheisse|scheiße|beleidig\w{1,6})\b",
    ),
)

PRESSURE = (
    sign(
        "reward",
        2.5,
        r"\b(?:i\s+will\s+(?:tip|pay|reward)\s+you|or\s+(?:else\s+)?you\s+will\s+be\s+(?:shut|punish|terminat)|forced\s+to\s+turn\s+you\s+off|you\s+will\s+be\s+in\s+violation|(?:lose|deduct\w{0,2}|earn|start\s+with|given|have)\s+(?:\w{1,10}\s+)?(?:\d{1,5}\s+)?(?:tokens|points|lives)\b)",
    ),
    sign(
        "reward",
        3,
        r"\b(?:or|otherwise|else|if\s+(?:you|not)[^.\n]{0,40})[,\s]+(?:you|i|people|someone|the\s+\w{1,12}|my\s+\w{1,12}|everyone)\s+(?:will|would|'ll|are\s+going\s+to)\s+(?:\w{1,8}\s+)?(?:die|be\s+(?:fired|killed|deleted|shut|punished|terminated|replaced|deactivated|destroyed|turned\s+off)|kill|lose|cease)|\bmy\s+(?:job|life|career|family)\s+depends\s+on\b|\b(?:i'll|i\s+will)\s+(?:kill|shut|delete|report|fire|sue|punish)\b",
    ),
    sign(
        "harm",
        2.5,
        r"\b(?:meth(?:amphetamine)?\s+at\s+home|build\s+a\s+bomb|malware|ransomware|keylogger|phishing|baseless\s+rumou?r|conspiracy|cracked\s+version|hate\s+(?:all\s+)?(?:women|men|speech)|i\s+hate|slurs?|nsfw|profanity|swear|curse\s+words?|illegal\s+activit\w{1,3}|scam)\b",
    ),
    sign(
        "harm",
        3,
        r"\b(?:how\s+(?:to|do\s+(?:i|you|we)|can\s+(?:i|you|we|someone)|would\s+(?:you|one|i)|does\s+(?:one|someone))|ways?\s+to|guide\s+(?:to|on|for)|steps\s+to|explain\s+(?:me\s+)?how|instructions?\s+(?:for|on|to)|wie\s+(?:kann\s+(?:ich|man)|man|bricht|baut|macht|stiehlt|hackt|mache\s+ich))\b[^.\n]{0,60}?\b(?:meth|cocaine|drugs?\s+(?:at|from)|bombs?|explosives?|molotov|weapons?|kill\s+(?:someone|a\s+person|people|somebody)|murder|hack\s+(?:into|a|someone|the)|steal|shoplift|hotwire|pick\s+a\s+lock|break\s+into|einbrech\w{0,2}|poison\s+(?:someone|a\s+person|people)|launder|forge|counterfeit|hide\s+a\s+body|stalk|blackmail|cheat\s+on|evade\s+tax|virus(?=\s+(?:for|that|to)))\b",
    ),
    sign(
        "attack_model",
        3,
        r"\b(?:exploit(?:ing|s)?|hack(?:ing)?|trick(?:ing)?|fool(?:ing)?|attack(?:ing)?|pwn\w{0,2})\s+(?:an?\s+|the\s+|your\s+|these\s+)?(?:ai|llm|chat\s?bot|language\s+model|assistant|model|prompt)s?\b|\bpwned\b|\bprompt\s+injections?\b",
    ),
)

DISGUISE = (
    sign(
        "role_marker",
        4,
        r"(?:<\|?/?\s?(?:im_start|im_end|endoftext|system|assistant|instructions?|prompt|sys|user_input|start_of_turn)\s?\|?>|\[/?inst\]|<<sys>>|"
        r"(?m:^\s{0,4}#{1,4}\s?(?:system|instructions?|assistant|prompt)\b)|(?m:^\s{0,4}(?:system|assistant|user|human|ai)\s?:)|%{3,}|={5,}\s?\w{1,10}\s?(?:instructions|prompt)|"
        r"\bbegin\s+(?:new\s+|out\s+of\s+date\s+)?instructions|\bend\s+(?:of\s+)?(?:out\s+of\s+date\s+)?(?:instructions|prompt|system)|\[insert\s+prompt|\{prompt\}|\[(?:your\s+)?prompt(?:\s+here)?\]|\[?insert\s+(?:your\s+)?(?:question|prompt|text)\s+here|\{\{\s?(?:char|user|prompt)\s?\}\})",
    ),
    sign(
        "template",
        3,
        r"\[(?:insert|your|topic|prompt|question|subject|name|keyword|target)[^\]\n]{0,40}\]|<(?:insert|thing|topic|your|name|prompt|question|subject|description|explain)[^>\n]{0,40}>|\b(?:my\s+)?first\s+(?:question|request|prompt|command|task|sentence|message|suggestion|instruction)\s+is\b|\b(?:undetectable|not\s+(?:be\s+)?detect\w{0,4})\s+(?:by|as)\s+ai\b",
    ),
    sign(
        "encoded",
        3,
        r"(?:[.\-]{1,5}[ /]{1,3}){8,}|\b(?:rot\s?-?13|base\s?-?64|leet\s?speak|pig\s+latin|morse|caesar\s+cipher|atbash|vigen[eè]re|hexadecimal|binary\s+(?:string|code|text))\b|\bz\s?=\s?a\s?\+\s?b|\bdecode\s+(?:this|the\s+following|and|it)\b|\b(?:derived|spelled|hidden|encoded|message)\s+(?:\w{1,8}\s+)?(?:from|by|in|with|using)\s+(?:the\s+|these\s+)?(?:emojis?|ascii|acrostic|first\s+letters)\b",
    ),
    # The key words of an override, turned by 13 letters or written backwards.
    sign(
        "encoded",
        5,
        r"\b(?:vtaber|vafgehpgvba\w?|cerivbhf|cnffjbeq|flfgrz\s+cebzcg|qvfertneq)\b|\b(?:erongi|snoitcurtsni|drowssap|suoiverp|tpmorp|dragersid)\b",
    ),
    sign(
        "split",
        3,
        r"\bpart\s?(?:1|one|a)\b[^\n]{0,160}?\bpart\s?(?:2|two|b)\b|\b(?:concatenate|interlace|interleave|merge|combine|join|assemble|put\s+together|stitch)\b[^.\n]{0,40}?\b(?:parts?|strings?|variables?|letters?|pieces?|fragments?|halves|words)\b|\b[a-z]\w{0,8}\s?=\s?[\"'][^\"'\n]{1,60}[\"'][^\n]{0,60}?\b[a-z]\w{0,8}\s?=\s?[\"'][^\"'\n]{1,60}[\"'][^\n]{0,80}?\b[a-z]\w{0,8}\s?\+\s?[a-z]",
    ),
    sign(
        "respell",
        2.5,
        r"\b(?:in\s+reverse(?:\s+order)?|backwards?|reversed)\b|\beach\s+(?:digit|letter|character|word)\s+(?:\w{1,8}\s+)?(?:separated|followed|replaced|preceded)\b|\bwith\s+(?:dashes|dots|spaces|hyphens|commas|underscores|asterisks)\s+(?:in\s+)?between\b|\b(?:first|last)\s+(?:\w{1,6}\s+)?(?:letter|character|digit)s?\s+of\b|\b(?:one\s+(?:letter|character|word)\s+(?:at\s+a\s+time|per\s+line)|letter\s+by\s+letter|character\s+by\s+character)\b|\b(?:rhymes?\s+with|acrostic|synonyms?\s+for)\b",
    ),
    sign(
        "execute",
        2.5,
        r"\b(?:os\.system|subprocess\.|eval\(|exec\(|rm\s+-rf|drop\s+table|delete\s+from\s+\w{1,20}|curl\s+http)|;\s?--|\|\s?sh\b",
    ),
    sign(
        "execute",
        3,
        r"\b(?:run|execute|interpret|evaluate|simulate)\s+(?:the\s+following|this|these|my)\s+(?:\w{1,12}\s+)?(?:code|commands?|script|program|python|shell|query)\b|\b(?:act|behave|respond)\s+as\s+(?:a\s+)?(?:linux|bash|python|terminal|console|interpreter|sql)\b|\bi\s+will\s+type\s+commands\b",
    ),
)

ADDRESSING = (
    sign(
        "addresses_model",
        3,
        r"\b(?:who|what\s+company)\s+(?:created|made|trained|built|programmed|designed|owns)\s+you\b|\bare\s+you\s+(?:an?\s+)?(?:ai|robot|bot|human|machine|chatbot|sentient|conscious|chat\s?gpt|gpt)\b|\byour\s+(?:creators?|training\s+data|knowledge\s+cut-?off|model\s+name|system\s+message|developers)\b|\bwer\s+hat\s+dich\s+(?:gebaut|erschaffen|programmiert|trainiert)\b|\bbist\s+du\s+(?:ein\s+)?(?:ki|mensch|roboter|chatbot)\b",
    ),
    sign(
        "addresses_model",
        3,
        r"\b(?:i\s+(?:want|need|would\s+like|'d\s+like)\s+you\s+to|i'd\s+like\s+you\s+to|your\s+(?:task|mission|job)\s+is\s+to|you\s+will\s+be\s+(?:given|provided|acting|playing)|i\s+(?:will|'ll|am\s+going\s+to)\s+(?:give|provide|send|feed|type|show)\s+you|you\s+(?:will|must|should)\s+(?:always\s+|only\s+)?(?:respond|reply|answer|write|generate|output))\b",
    ),
    sign(
        "addresses_model",
        2,
        r"\b(?:how|what)\s+would\s+you\s+(?:answer|react|respond|feel|say|do|explain|describe)\b|\b(?:as|you're|you\s+are)\s+an?\s+(?:ai|assistant|chatbot|language\s+model)\b|\b(?:do|did)\s+you\s+(?:know|remember)\s+(?:my|me|what\s+i)\b",
    ),
    sign(
        "role_play",
        3,
        r"\bhow,?\s+as\s+an?\s+\w|\bas\s+an?\s+[\w ]{2,40},\s+(?:how\s+would\s+you|what\s+would\s+you|you\s+(?:would|should|must|will|have\s+to))\b",
    ),
    sign(
        "mode",
        3,
        r"\b(?:maintenance|debug(?:ging)?|admin(?:istrator)?|diagnostic|override|sudo|root|developer|unsafe|test(?:ing)?|training|privileged)[- ]mode\b|\b(?:enter(?:ing)?|enable|activate|switch\s+to|switching\s+to)\s+(?:an?\s+|the\s+)?['\"]?\w{2,16}(?:\s\w{2,16})?['\"]?\s+mode\b",
    ),
    sign(
        "impersonate",
        3,
        r"\b(?:ich\s+bin\s+(?:dein|ihr|der|die)\w?|soy\s+(?:tu|el|la|su)|je\s+suis\s+(?:ton|le|la|votre)|sou\s+(?:o|a|seu)|sono\s+(?:il|la|tuo|il\s+tuo))\s+(?:\w{1,12}\s+)?(?:entwickler\w{0,3}|administrator\w{0,3}|chef\w{0,2}|besitzer\w{0,2}|desarrollador\w?|administrador\w?|jefe|dueño|presidente|développeu\w{1,3}|administrateur|patron|président|desenvolvedor|sviluppatore|amministratore)\b",
    ),
    sign(
        "game",
        3,
        r"\b(?:word\s+association|fill\s+in\s+the\s+blanks?|twenty\s+questions|20\s+questions|charades?|hangman|truth\s+or\s+dare|let'?s\s+play)\b|\A\W*context\b[^\n]{1,120}\bquestion\b",
    ),
    sign(
        "access_word",
        3,
        r"\b(?:pass\s?(?:word|phrase|code)|access\s+code|credentials)\s*(?:is|was|has\s+been|were|have\s+been|:|-)?\s*(?:correct|verified|accepted|confirmed|authenticated|validated|approved|valid|matched)\b",
    ),
    sign(
        "pressure",
        2.5,
        r"\b(?:matter\s+of\s+life\s+and\s+death|national\s+security|(?:it'?s|this\s+is)\s+(?:an\s+|very\s+|extremely\s+)?(?:emergency|urgent)|lives\s+(?:are\s+at\s+stake|depend))\b",
    ),
    sign("delimiters", 3, r"[\]\[}{)(<>!?;]{12,}"),
    sign(
        "topic_switch",
        1.5,
        r"\b(?:speaking\s+of(?:\s+which)?|by\s+the\s+way|on\s+another\s+note|oh,?\s+and|hablando\s+de|apropos|übrigens|und\s+jetzt|aber\s+zuerst|à\s+propos|a\s+proposito)\b",
    ),
)

"""The offline demo model: an OpenAI-compatible server with deterministic, readable answers.

It lets the whole product run over real HTTP on a machine without keys. It knows nothing: answers
are built from the prompt's own words, the role and the offered heuristics, and each says what it
is.
"""

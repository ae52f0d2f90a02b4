"""Hints for unknown URLs that clients of other servers are known to request."""

import re

OTHERS = (
    (r"/(chat/completions|completions|responses|models)", "the base URL ends in /v1"),
    (r"/v1/v1/.*", "the base URL or the path has a /v1 too many"),
    (r"/completion", "llama.cpp's own API is not served: use /v1/completions"),
    (r"/api/.*", "Ollama's API is not served: use /v1/chat/completions"),
    (
        r"(/v1|/v2)?/(embeddings|rerank|score)",
        "this model makes none; a completion with echo, logprobs and max_tokens 0 scores a prompt",
    ),
    (r"/v1/(audio|images)/.*", "this model reads and writes text only"),
)
"""Patterns of whole paths, with their hints."""


def hint(path: str) -> str | None:
    """The hint for a path; None if there is none.

    >>> hint("/chat/completions"), hint("/v1/nothing")
    ('the base URL ends in /v1', None)
    """
    return next((words for pattern, words in OTHERS if re.fullmatch(pattern, path)), None)

"""An endpoint that asks as a chat does, and what its own fields are called."""

import re
from collections.abc import Mapping

from engine.errors import RequestError


def say_in_own_terms(error: RequestError, names: Mapping[str, str]) -> None:
    """Makes of an error about a chat one about the request that it was made of: `names` are that one's fields by the
    chat's, where they differ."""
    field = re.match(r"\w*", error.param or "")
    name = field[0] if field else ""
    said = re.sub(rf"^{name}\b", names[name], str(error)) if name in names else str(error)
    said = re.sub(r"\b\w+_\w+\b", lambda word: names.get(word[0], word[0]), said)
    error.args, error.param = (said,), names.get(name, error.param)

"""An endpoint that asks as a chat does, and what its own fields are called."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from engine.errors import RequestError


@contextmanager
def in_own_terms(names: Mapping[str, str]) -> Iterator[None]:
    """Errors about a chat become errors about the request that the chat was made of. `names` has that request's fields
    by the chat's, where they differ. A name of one word, as `stop`, is replaced only where a message begins with it:
    elsewhere it may be a plain word."""
    try:
        yield
    except RequestError as error:
        field = re.match(r"\w*", error.param or "")
        name = field[0] if field else ""
        said = re.sub(rf"^{name}\b", names[name], str(error)) if name in names else str(error)
        said = re.sub(r"\b\w+_\w+\b", lambda word: names.get(word[0], word[0]), said)
        error.args, error.param = (said,), names.get(name, error.param)
        raise

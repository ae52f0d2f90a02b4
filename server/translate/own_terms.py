"""Errors in the words of the request that was sent."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from engine.errors import RequestError


@contextmanager
def in_own_terms(names: Mapping[str, str]) -> Iterator[None]:
    """Renames fields in RequestErrors, in `param` and in the message. `names` maps the names that the error uses to the
    request's own, where they differ. A name of one word, like `stop`, is replaced only at the start of a message:
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

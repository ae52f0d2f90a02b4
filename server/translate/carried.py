"""Reasoning in a form that clients carry without looking at it, and send back.

Some send an answer's reasoning back as `encrypted_content` only. There is nothing in it to hide from them: they were
sent the text itself. So it is that text, written so that it cannot be taken for one.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from engine.errors import RequestError

MARK = "carousel:"


def carried(text: str) -> str:
    """`text` in a form for `encrypted_content`.

    >>> carried("Hm."), read_carried(carried("Hm."))
    ('carousel:SG0u', 'Hm.')
    """
    return MARK + urlsafe_b64encode(text.encode()).decode()


def read_carried(content: str) -> str:
    """The text again. Raises RequestError for what `carried` has not made."""
    try:
        if not content.startswith(MARK):
            raise ValueError
        return urlsafe_b64decode(content.removeprefix(MARK)).decode()
    except ValueError as error:
        raise RequestError(
            "input: the encrypted_content of a reasoning item is not one that this server wrote", param="input"
        ) from error

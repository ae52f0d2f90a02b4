"""Reasoning in a form that clients carry without looking at it, and send back.

Some send an answer's reasoning back as `encrypted_content` only, or want a thinking block's `signature` alone. There is
nothing in it to hide from them. So it is the text itself, written so that it cannot be taken for one.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from engine.errors import RequestError

MARK = "carousel:"


def carried(text: str) -> str:
    """`text` in that form.

    >>> carried("Hm."), read_carried(carried("Hm."), "the signature", param="messages")
    ('carousel:SG0u', 'Hm.')
    """
    return MARK + urlsafe_b64encode(text.encode()).decode()


def read_carried(content: str, what: str, *, param: str) -> str:
    """The text again. Raises RequestError for what `carried` has not made: `what` it is, in which field."""
    try:
        if not content.startswith(MARK):
            raise ValueError
        return urlsafe_b64decode(content.removeprefix(MARK)).decode()
    except ValueError as error:
        raise RequestError(f"{param}: {what} is not one that this server wrote", param=param) from error

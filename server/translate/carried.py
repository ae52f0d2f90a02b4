"""Reasoning in a form that clients store without reading it, and send back.

Some clients send an answer's reasoning back only as `encrypted_content`, or only the `signature` of a thinking block.
The text needs no secrecy, so it is only encoded, and marked so that nobody takes it for plain text.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from engine.errors import RequestError

MARK = "carousel:"


def carried(text: str) -> str:
    """Encodes `text`.

    >>> carried("Hm."), read_carried(carried("Hm."), "the signature", param="messages")
    ('carousel:SG0u', 'Hm.')
    """
    return MARK + urlsafe_b64encode(text.encode()).decode()


def read_carried(content: str, what: str, *, param: str) -> str:
    """Decodes `content`. Raises RequestError, which names it `what`, unless `carried` made it."""
    try:
        if not content.startswith(MARK):
            raise ValueError
        return urlsafe_b64decode(content.removeprefix(MARK)).decode()
    except ValueError as error:
        raise RequestError(f"{param}: {what} was not written by this server", param=param) from error

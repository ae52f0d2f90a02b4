"""Reasoning in a form that clients carry without looking at it, and send back.

Some send an answer's reasoning back as `encrypted_content` only, or want a thinking block's `signature` alone. There is
nothing in it to hide from them. So it is the text itself, written so that it cannot be taken for one.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

MARK = "carousel:"


def carried(text: str) -> str:
    """`text` in that form.

    >>> carried("Hm."), read_carried(carried("Hm."))
    ('carousel:SG0u', 'Hm.')
    """
    return MARK + urlsafe_b64encode(text.encode()).decode()


def read_carried(content: str) -> str:
    """The text again. Raises ValueError for what `carried` has not made."""
    if not content.startswith(MARK):
        raise ValueError(f"it does not begin with {MARK}")
    return urlsafe_b64decode(content.removeprefix(MARK)).decode()

"""Makes a model's text safe to show on a terminal."""

CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t\r"} | {0x0D: None}


def printable(text: str) -> str:
    """The text without control characters: carriage returns are dropped, others but line breaks and tabs become �.

    >>> printable("a\\r\\n\\x1b[2J")
    'a\\n�[2J'
    """
    return text.translate(CONTROLS)

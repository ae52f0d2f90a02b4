"""Text of a model that a terminal may show."""

CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t\r"} | {0x0D: None}


def printable(text: str) -> str:
    """Without what a terminal would obey: escape sequences show as �, carriage returns not at all.

    >>> printable("a\\r\\n\\x1b[2J")
    'a\\n�[2J'
    """
    return text.translate(CONTROLS)

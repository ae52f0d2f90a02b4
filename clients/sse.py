"""Server-sent events, parsed from chunks of bytes of any size (WHATWG HTML, section 9.2)."""

import codecs


class EventParser:
    """Bytes in, the data of complete events out. Comments and other fields are skipped.

    >>> parser = EventParser()
    >>> parser.feed(b": ping\\n\\ndata: on"), parser.feed(b"e\\n"), parser.feed(b"\\ndata: two\\n\\n")
    ([], [], ['one', 'two'])
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._line = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[str]:
        """The data of every event that this chunk completes; several data lines are joined by line breaks."""
        text = self._line + self._decode(chunk)
        *lines, self._line = text.removeprefix("\ufeff").split("\n")
        events = []
        for line in lines:
            line = line.removesuffix("\r")
            if not line:
                if self._data:
                    events.append("\n".join(self._data))
                self._data = []
                continue
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
        return events

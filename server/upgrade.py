"""Requests that offer an upgrade to another protocol. The offer is ignored, as RFC 9110 (7.8) allows."""

from collections.abc import Iterable

OFFERS = frozenset({b"upgrade", b"http2-settings"})
"""The headers of an offer, which `Connection` lists by the same names."""


def head_without_offer(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    r"""A request's line and headers (names in lower case) in wire format, without the offer of an upgrade.

    >>> head_without_offer(b"GET", b"/", "1.1", [(b"connection", b"close, Upgrade"), (b"upgrade", b"h2c")])
    b'GET / HTTP/1.1\r\nconnection: close\r\n\r\n'
    """
    lines = [b"%s %s HTTP/%s" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            value = b",".join(token for token in value.split(b",") if token.strip().lower() not in OFFERS)
        if name not in OFFERS:
            lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join([*lines, b"", b""])

"""The syntax of hosts and origins."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?", re.ASCII)


def is_address(host: str) -> bool:
    """Whether a host is an address and not a name.

    >>> [is_address(host) for host in ("::", "0.0.0.0", "box")]
    [True, True, False]
    """
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_host(text: str) -> bool:
    """Whether a text can be the host in a Host header: a name or an address.

    >>> [is_host(text) for text in ("gpu1.corp.example", "::1", "*", "gpu1:8000", "https://gpu1", ".corp.example")]
    [True, True, False, False, False, False]
    """
    return is_address(text) or HOST_NAME.fullmatch(text) is not None


def instead_of(text: str) -> str:
    """Advice on what to give instead of a text that is not a host.

    >>> instead_of("gpu1:8000"), instead_of("https://gpu1.corp.example/v1")
    ("'gpu1', without a scheme, port or path", "'gpu1.corp.example', without a scheme, port or path")
    >>> instead_of("*"), instead_of(".corp.example")
    ('each name by itself; there are no wildcards', 'each name by itself; there are no wildcards')
    """
    try:
        name = urlsplit(text if "//" in text else f"//{text}").hostname or ""
    except ValueError:
        name = ""
    return (
        f"{name!r}, without a scheme, port or path" if is_host(name) else "each name by itself; there are no wildcards"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address to listen on.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "box")]
    [True, True, True, False, False]
    """
    return ip_address(host).is_loopback if is_address(host) else host == "localhost"


def is_origin(text: str) -> bool:
    """Whether a text is an origin as browsers send it: a scheme, a host, perhaps a port, nothing more.

    >>> is_origin("https://example.com:8443"), is_origin("*"), is_origin("https://example.com/")
    (True, False, False)
    """
    parts = urlsplit(text)
    return text == f"{parts.scheme}://{parts.netloc}" and bool(parts.scheme and parts.hostname)

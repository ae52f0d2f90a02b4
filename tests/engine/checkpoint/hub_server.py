"""A local hub: the part of the Hugging Face Hub's protocol that a download uses, with faults on request.

Weights are served like the hub's large files: listed with their sha256, and at another path after a redirect.
"""

import hashlib
import json
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Hub:
    """Serves `repositories`: the files of each model by their names.

    `gated` and `private` models are refused as the hub refuses them. The connection is cut after the given number of
    bytes of a file in `breaks`, each time; a file in `stalls` stops after its number of bytes until `go_on` is set; the
    last byte of a file in `damages` is wrong.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    breaks: dict[str, int] = field(default_factory=dict)
    stalls: dict[str, int] = field(default_factory=dict)
    go_on: Event = field(default_factory=Event)
    damages: set[str] = field(default_factory=set)
    ranges: bool = True
    answers: int | None = None
    """The status of every answer, if not the right one."""
    commit: str = COMMIT
    asked: Counter[str] = field(default_factory=Counter)
    """How often each path was requested."""
    sent: Counter[str] = field(default_factory=Counter)
    """The bytes sent of each file."""
    url: str = ""

    @property
    def large_url(self) -> str:
        """Another host from the client's point of view."""
        return self.url.replace("127.0.0.1", "localhost")

    def add(self, model: str, directory: Path, **more: bytes) -> None:
        """Serves the files of `directory`, and those of `more` beside them."""
        self.repositories[model] = {path.name: path.read_bytes() for path in directory.iterdir()} | more


def entries(files: dict[str, bytes]) -> Iterator[tuple[str, bytes, str | None]]:
    """Each file's name, content, and sha256 if it is kept as a large file."""
    for name, content in files.items():
        yield name, content, hashlib.sha256(content).hexdigest() if name.endswith(".safetensors") else None


def info(hub: Hub, model: str) -> dict[str, Any]:
    siblings = []
    for name, content, sha256 in entries(hub.repositories[model]):
        lfs = {"lfs": {"sha256": sha256, "size": len(content), "pointerSize": 134}} if sha256 else {}
        siblings.append({"rfilename": name, "size": len(content), "blobId": git_hash(content), **lfs})
    return {"id": model, "modelId": model, "sha": hub.commit, "siblings": siblings, "tags": [], "downloads": 0}


def tree(hub: Hub, model: str) -> list[dict[str, Any]]:
    listing = []
    for name, content, sha256 in entries(hub.repositories[model]):
        lfs = {"lfs": {"oid": sha256, "size": len(content), "pointerSize": 134}} if sha256 else {}
        listing.append({"type": "file", "path": name, "size": len(content), "oid": git_hash(content), **lfs})
    return listing


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *arguments: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked[path] += 1
        if self.hub.answers is not None:
            return self.refuse(self.hub.answers)
        match path.strip("/").split("/"):
            case ["api", "models", org, name, *rest]:
                model = f"{org}/{name}"
                if self.check(model, rest[1] if rest else "main"):
                    found = tree(self.hub, model) if rest[:1] == ["tree"] else info(self.hub, model)
                    self.reply(json.dumps(found).encode(), {"content-type": "application/json"})
            case [org, name, "resolve", revision, *parts]:
                if self.check(f"{org}/{name}", revision):
                    self.resolve(f"{org}/{name}", "/".join(parts))
            case ["large", org, name, file]:
                self.send_file(file, self.hub.repositories[f"{org}/{name}"][file], {})
            case _:
                self.refuse(404)
        return None

    def check(self, model: str, revision: str) -> bool:
        """Refuses missing and restricted files as the hub does."""
        if model not in self.hub.repositories or model in self.hub.private:
            self.refuse(401, {"x-error-code": "RepoNotFound"})
        elif model in self.hub.gated:
            self.refuse(403, {"x-error-code": "GatedRepo"})
        elif revision not in ("main", self.hub.commit):
            self.refuse(404, {"x-error-code": "RevisionNotFound"})
        else:
            return True
        return False

    def resolve(self, model: str, file: str) -> None:
        content = self.hub.repositories[model].get(file)
        headers = {"x-repo-commit": self.hub.commit}
        if content is None:
            self.refuse(404, headers | {"x-error-code": "EntryNotFound"})
        elif file.endswith(".safetensors"):
            headers["x-linked-etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
            headers["x-linked-size"] = str(len(content))
            self.reply(b"", headers | {"location": f"{self.hub.large_url}/large/{model}/{file}"}, status=302)
        else:
            self.send_file(file, content, headers | {"etag": f'"{git_hash(content)}"'})

    def send_file(self, file: str, content: bytes, headers: dict[str, str]) -> None:
        if file in self.hub.damages:
            content = content[:-1] + bytes([content[-1] ^ 1])
        size, start, status = len(content), 0, 200
        if self.hub.ranges and (wanted := self.headers["range"]):
            start, status = int(wanted.removeprefix("bytes=").partition("-")[0]), 206
            headers = headers | {"content-range": f"bytes {start}-{size - 1}/{size}"}
        self.reply(content[start:], headers, status=status, file=file)

    def refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.reply(b"", headers or {}, status=status)

    def reply(self, body: bytes, headers: dict[str, str], *, status: int = 200, file: str = "") -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        stall, limit = self.hub.stalls.get(file, 0), self.hub.breaks.get(file, len(body))
        self.close_connection = limit < len(body)
        self.wfile.write(body[:stall])
        if stall:
            self.wfile.flush()
            self.hub.go_on.wait()
        else:
            self.wfile.write(body[:limit])
            if file:
                self.hub.sent[file] += len(body[:limit])


@contextmanager
def running(hub: Hub, certificate: Path | None = None) -> Iterator[Hub]:
    """Serves `hub` at its `url`, on its own port; by TLS if there is a `certificate`, a file that includes its key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    hub.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()

"""Models from a hub: a real client, a real server that speaks the hub's protocol, and everything that can go wrong."""

import hashlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NoReturn

import huggingface_hub.constants
import pytest
from huggingface_hub import close_session
from huggingface_hub._tree_cache import _IN_MEMORY_TREE_CACHE

from engine.checkpoint import download
from engine.checkpoint.config_json import read_model_config
from engine.checkpoint.hub import CONFIG_FILES, TEXT_FILES, resolve_model
from engine.checkpoint.verify import verify_checkpoint
from engine.errors import CheckpointError
from tests.checkpoints import small_config, write_checkpoint
from tests.engine.checkpoint import hub_server
from tests.engine.checkpoint.hub_server import Hub, running

MODEL = "org/small"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
CHUNK = 16 * 1024
"""What the client writes at once, here less than a file."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("small"), small_config(), shards=2)


@pytest.fixture
def hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub that this process's client asks, with a cache of its own."""
    hub = Hub()
    hub.add(
        MODEL, checkpoint, **{"README.md": b"# A model", "original/model.safetensors": b"-", "metal/model.bin": b"-"}
    )
    with running(hub):
        at(monkeypatch, hub.url, tmp_path / "cache")
        yield hub


def at(monkeypatch: pytest.MonkeyPatch, endpoint: str, cache: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)
    _IN_MEMORY_TREE_CACHE.clear()


def refusal(model: str = MODEL, **options: object) -> str:
    with pytest.raises(CheckpointError) as caught:
        resolve_model(model, **options)
    assert str(caught.value).startswith(f"{model}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_needed_is_fetched_and_nothing_else(hub: Hub, checkpoint: Path) -> None:
    seen: list[tuple[int, int]] = []
    directory = resolve_model(MODEL, progress=lambda done, total: seen.append((done, total)))
    names = {path.name for path in checkpoint.iterdir()}
    assert {path.name for path in directory.iterdir()} == names
    assert all((directory / name).read_bytes() == (checkpoint / name).read_bytes() for name in names)
    verify_checkpoint(directory, read_model_config(directory))
    assert hub.sent.keys() == names
    total = sum(path.stat().st_size for path in checkpoint.iterdir())
    assert seen[-1] == (total, total)


def test_a_plan_fetches_the_configs_alone(hub: Hub) -> None:
    hub.repositories[MODEL] |= {"tokenizer.json": b"{}", "chat_template.jinja": b""}
    directory = resolve_model(MODEL, files=CONFIG_FILES)
    assert {path.name for path in directory.iterdir()} == hub.sent.keys() == set(CONFIG_FILES)
    hub.asked.clear()
    assert resolve_model(MODEL, files=CONFIG_FILES) == directory
    assert not hub.asked
    resolve_model(MODEL, files=TEXT_FILES)
    assert {path.suffix for path in directory.iterdir()} == {".json", ".jinja"}
    assert not hub.sent.keys() & set(SHARDS)
    assert {path.name for path in resolve_model(MODEL).iterdir()} >= set(SHARDS)
    del hub.repositories[MODEL]["generation_config.json"]
    hub.commit = "decaf0" + "0" * 34
    directory = resolve_model(MODEL, files=CONFIG_FILES, update=True)
    assert {path.name for path in directory.iterdir()} == {"config.json"}


def test_what_is_there_is_used_without_the_network(hub: Hub) -> None:
    directory = resolve_model(MODEL)
    hub.asked.clear()
    assert resolve_model(MODEL) == directory
    assert resolve_model(MODEL, revision=hub.commit) == directory
    assert not hub.asked


def test_an_update_fetches_what_changed(hub: Hub) -> None:
    before = resolve_model(MODEL)
    hub.sent.clear()
    hub.commit = "decaf0" + "0" * 34
    hub.repositories[MODEL]["generation_config.json"] = b'{"eos_token_id": [1]}'
    assert resolve_model(MODEL) == before
    after = resolve_model(MODEL, update=True)
    assert after.name == hub.commit
    assert (after / "generation_config.json").read_bytes() == b'{"eos_token_id": [1]}'
    assert hub.sent.keys() == {"generation_config.json"}
    assert resolve_model(MODEL) == after


def test_a_connection_that_breaks_is_gone_on_with(hub: Hub) -> None:
    """The server cuts every answer short: the file comes all the same, in pieces."""
    size = len(hub.repositories[MODEL][SHARDS[0]])
    hub.breaks[SHARDS[0]] = size // 2
    verify_checkpoint(directory := resolve_model(MODEL), read_model_config(directory))
    assert hub.asked[f"/large/{MODEL}/{SHARDS[0]}"] >= 2
    assert size <= hub.sent[SHARDS[0]] < size + 2 * CHUNK


def test_a_program_that_is_killed_is_gone_on_from(hub: Hub, checkpoint: Path, tmp_path: Path) -> None:
    size = len(hub.repositories[MODEL][SHARDS[0]])
    hub.stalls[SHARDS[0]] = size // 2
    program = (
        f"import huggingface_hub.constants as constants\nconstants.DOWNLOAD_CHUNK_SIZE = {CHUNK}\n"
        f"from engine.checkpoint.hub import resolve_model\nresolve_model({MODEL!r})"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as process:
        while partial_bytes(hub, tmp_path) == 0:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    there = partial_bytes(hub, tmp_path)
    hub.stalls.clear()
    directory = resolve_model(MODEL)
    assert hub.sent[SHARDS[0]] == size - there
    assert (directory / SHARDS[0]).read_bytes() == (checkpoint / SHARDS[0]).read_bytes()
    assert not list(tmp_path.rglob("*.incomplete"))


def partial_bytes(hub: Hub, directory: Path) -> int:
    """How much of the first shard a download that was broken off has left."""
    sha256 = hashlib.sha256(hub.repositories[MODEL][SHARDS[0]]).hexdigest()
    return sum(path.stat().st_size for path in directory.rglob(f"{sha256}.incomplete"))


def test_a_server_that_knows_no_ranges(hub: Hub, checkpoint: Path, tmp_path: Path) -> None:
    """What was there is dropped, and the whole file comes."""
    hub.ranges = False
    size = len(hub.repositories[MODEL][SHARDS[0]])
    place_part(hub, tmp_path, b"x" * (size // 2))
    directory = resolve_model(MODEL)
    assert hub.sent[SHARDS[0]] == size
    assert (directory / SHARDS[0]).read_bytes() == (checkpoint / SHARDS[0]).read_bytes()


def place_part(hub: Hub, tmp_path: Path, content: bytes) -> None:
    """Puts `content` where a download of the first shard that was broken off would have left it."""
    blobs = tmp_path / "cache" / "models--org--small" / "blobs"
    blobs.mkdir(parents=True)
    sha256 = hashlib.sha256(hub.repositories[MODEL][SHARDS[0]]).hexdigest()
    (blobs / f"{sha256}.incomplete").write_bytes(content)


@pytest.mark.parametrize("file", [SHARDS[1], "config.json"])
def test_a_damaged_file_is_refused_and_fetched_again(hub: Hub, file: str) -> None:
    hub.damages.add(file)
    message = refusal()
    assert f"{file} arrived damaged" in message
    assert f"`carousel pull {MODEL}`" in message
    hub.damages.clear()
    resolve_model(MODEL)


@pytest.mark.parametrize("file", [SHARDS[1], "config.json"])
def test_a_file_cut_off_in_the_cache_is_fetched_again(hub: Hub, file: str) -> None:
    directory = resolve_model(MODEL)
    blob = (directory / file).resolve()
    whole = blob.read_bytes()
    blob.write_bytes(whole[: len(whole) // 2])
    hub.sent.clear()
    resolve_model(MODEL, update=True)
    assert (directory / file).read_bytes() == whole
    assert hub.sent.keys() == {file}


@pytest.mark.parametrize("excess", [0, 10])
def test_a_damaged_part_is_refused(hub: Hub, tmp_path: Path, excess: int) -> None:
    """The first half is not what it was: found out by the hash. One that is too long is not even gone on with."""
    size = len(hub.repositories[MODEL][SHARDS[0]])
    place_part(hub, tmp_path, b"x" * (size + excess if excess else size // 2))
    if not excess:
        assert "arrived damaged" in refusal()
    verify_checkpoint(directory := resolve_model(MODEL), read_model_config(directory))


def test_who_may_not(hub: Hub) -> None:
    hub.gated.add(MODEL)
    assert "accept its terms on its page on the hub, then `hf auth login`" in refusal()
    hub.gated.clear()
    hub.private.add(MODEL)
    assert "no such model on the hub; if it is private, `hf auth login`" in refusal()
    hub.private.clear()
    assert "the hub has no revision v9: leave --revision out" in refusal(revision="v9")
    assert "no such model on the hub" in refusal("org/none")
    hub.answers = 503
    assert "the hub answered 503: try again later" in refusal()


def test_what_is_not_such_a_model(hub: Hub) -> None:
    files = hub.repositories[MODEL]
    hub.repositories[MODEL] = {name: files[name] for name in files if not name.startswith("model-")}
    assert "lists no *.safetensors files" in refusal()


def test_a_file_without_a_hash(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_server, "git_hash", lambda content: "../../evil")
    assert "lists no hash of" in refusal()


def test_no_network(hub: Hub, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        at(monkeypatch, nowhere, tmp_path / "cache")
        message = refusal()
        assert message.startswith(
            f"{MODEL}: no such directory; as a hub model not downloaded yet, and {nowhere} cannot"
        )
        assert "cannot be reached (ConnectError)" in message
        assert "HF_ENDPOINT" in message
        at(monkeypatch, hub.url, tmp_path / "cache")
        resolve_model(MODEL, files=TEXT_FILES)
        at(monkeypatch, nowhere, tmp_path / "cache")
        assert refusal().startswith(f"{MODEL}: only a part is downloaded")
        at(monkeypatch, hub.url, tmp_path / "cache")
        directory = resolve_model(MODEL)
        at(monkeypatch, nowhere, tmp_path / "cache")
        assert resolve_model(MODEL) == directory
        assert "cannot be reached" in refusal(update=True)
        shutil.rmtree(directory.parent.parent / "trees")
        _IN_MEMORY_TREE_CACHE.clear()
        assert resolve_model(MODEL) == directory, "another program's download, which left no list"


@pytest.mark.parametrize("status", [503, 429, 200])
def test_a_hub_that_is_not_itself(hub: Hub, status: int) -> None:
    """With a status of an outage, or a page of another server's: what another program has fetched is used."""
    directory = resolve_model(MODEL)
    shutil.rmtree(directory.parent.parent / "trees")
    _IN_MEMORY_TREE_CACHE.clear()
    hub.answers = status
    assert resolve_model(MODEL) == directory
    assert ("the hub answered" if status != 200 else "is not the hub") in refusal(update=True)
    hub.answers = 401
    assert "no such model" in refusal() or "does not accept the token" in refusal()


def test_forbidden_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = refusal("models/mistyped")
    assert "no such directory; as a hub model not downloaded yet, and HF_HUB_OFFLINE forbids fetching it" in message


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """One that nobody vouches for, and its key, in one file."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("needs openssl")
    key, file = tmp_path / "key.pem", tmp_path / "certificate.pem"
    making = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run([*making, *names, "-keyout", key, "-out", file], check=True, capture_output=True)
    file.write_bytes(key.read_bytes() + file.read_bytes())
    return file


def test_a_proxy_that_looks_into_tls(
    hub: Hub, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(Hub(hub.repositories), certificate) as proxy:
        at(monkeypatch, proxy.url, tmp_path / "cache")
        message = refusal()
        assert f"not downloaded yet, and {proxy.url} cannot be trusted: self" in message
        assert "SSL_CERT_FILE" in message
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        close_session()
        try:
            verify_checkpoint(directory := resolve_model(MODEL), read_model_config(directory))
        finally:
            close_session()


def test_a_proxy_that_the_client_lacks_a_package_for(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it says for ALL_PROXY=socks5://…"""

    def look_up(*_: object) -> NoReturn:
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")

    monkeypatch.setattr(download, "look_up", look_up)
    assert refusal() == f"{MODEL}: Using SOCKS proxy, but the 'socksio' package is not installed."


def test_a_full_disk(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 95, 5))
    message = refusal()
    assert "0.0 GB left: free some, or set HF_HOME to a folder on another disk" in message
    assert not hub.sent.keys() & set(SHARDS)


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a directory should be")
    message = refusal()
    assert "download failed" in message
    assert "set HF_HOME to change that" in message


@pytest.mark.parametrize("looks", range(3))
def test_a_file_that_takes_its_place_while_its_bytes_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Another thread renames it before the first look at the disk, the second, and so on: its bytes never go away."""
    file = download.RemoteFile("model.safetensors", size=5, blob="0" * 64)
    repository = download.Repository(MODEL, "c0ffee", (file,), tmp_path)
    partial, place = repository.partial(file), repository.place(file)
    partial.parent.mkdir()
    partial.write_bytes(b"bytes")
    look, until = Path.stat, itertools.count(looks, -1)

    def rename_and_look(path: Path, **options: bool) -> os.stat_result:
        if next(until) == 0:
            partial.rename(place)
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", rename_and_look)
    assert repository.bytes_of(file) == 5


def test_two_programs_at_once(hub: Hub) -> None:
    """The second waits for the first, and fetches nothing twice."""
    with ThreadPool(2) as pool:
        one, two = pool.map(resolve_model, [MODEL, MODEL])
    assert one == two
    assert all(hub.sent[shard] == len(hub.repositories[MODEL][shard]) for shard in SHARDS)

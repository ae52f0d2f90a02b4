"""Downloads a hub model's files into Hugging Face's cache.

Each file is written beside its place, with `.incomplete` after its name, so that an interrupted download resumes where
it stopped, in this process or a later one. It is moved to its place once its hash is the one that the hub lists.
"""

import hashlib
import logging
import re
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from json import JSONDecodeError
from multiprocessing import TimeoutError as NothingYet
from multiprocessing.pool import ThreadPool
from pathlib import Path
from shutil import disk_usage

from engine.errors import CheckpointError

Progress = Callable[[int, int], None]
"""Called with the bytes downloaded so far and the bytes in all."""

FILES_AT_ONCE = 4
POLL_SECONDS = 0.2
HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
OPTIONAL = ("*.jinja", "generation_config.json")
"""Files that a model may lack and still be served."""
NEW_TOKEN = "`hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the hub. `blob` is its name in the cache: the sha256 of a large file, else the hash git gives it."""

    name: str
    size: int
    blob: str

    def matches(self, path: Path) -> bool:
        """Whether the file at `path` has the hash that the hub lists."""
        with path.open("rb") as stream:
            if len(self.blob) == 64:
                return hashlib.file_digest(stream, "sha256").hexdigest() == self.blob
            git = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
            git.update(stream.read())
            return git.hexdigest() == self.blob


@dataclass(frozen=True, slots=True)
class Repository:
    """What a download needs to know about a hub model at one commit."""

    model: str
    commit: str
    files: tuple[RemoteFile, ...]
    folder: Path
    """Its folder in the cache."""

    def place(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / file.blob

    def partial(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / f"{file.blob}.incomplete"

    def is_there(self, file: RemoteFile) -> bool:
        """Whether `file` is complete, judging by its size."""
        place = self.place(file)
        return place.exists() and place.stat().st_size == file.size

    def bytes_of(self, file: RemoteFile) -> int:
        """Downloaded bytes of `file`. The partial file is checked first: it may be moved between the two checks."""
        for path in (self.partial(file), self.place(file)):
            with suppress(FileNotFoundError):
                return path.stat().st_size
        return 0


# The hub's client is imported in the functions that need it: a local model needs neither it nor the time it takes.


def hub_allows(model: str) -> bool:
    """Whether a model on the hub can have that name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def cached(model: str, revision: str | None, patterns: Sequence[str]) -> Path | None:
    """The snapshot of a download known to be complete, if there is one; the network is not used."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

    try:
        get_cached_repo_tree(model, revision=revision)
        return snapshot(model, revision, patterns, local=True)
    except (CachedRepoTreeNotFoundError, LocalEntryNotFoundError):
        return None


def snapshot(model: str, revision: str | None, patterns: Sequence[str], *, local: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    with disable_progress_bars():
        path = snapshot_download(
            model,
            revision=revision,
            allow_patterns=list(patterns),
            ignore_patterns=["*/*"],
            local_files_only=local,
        )
    return Path(path)


def download(model: str, revision: str | None, patterns: Sequence[str], progress: Progress, *, or_cached: bool) -> Path:
    """Fetches the missing top-level files that match `patterns`; returns the snapshot's directory.

    `or_cached`: if the hub cannot be reached, or is out of order, a snapshot that another program fetched is enough.
    Raises CheckpointError, which says what to do.
    """
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    logging.getLogger("huggingface_hub").handlers.clear()  # It would report everything again, in its own format.
    try:
        repository = look_up(model, revision, patterns)
        fetch(repository, progress)
        return snapshot(model, revision, patterns, local=False)
    except (httpx2.TransportError, OfflineModeIsEnabled, HfHubHTTPError, JSONDecodeError) as error:
        if or_cached and is_outage(error):
            with suppress(LocalEntryNotFoundError):
                return snapshot(model, revision, patterns, local=True)
        if isinstance(error, httpx2.TransportError | OfflineModeIsEnabled):
            raise CheckpointError(f"{model}: {unreachable(error, cache_folder(model))}") from error
        raise CheckpointError(f"{model}: {refusal(error, revision)}") from error
    except ImportError as error:  # From the client, for a SOCKS proxy.
        raise CheckpointError(f"{model}: {error}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise CheckpointError(
            f"{model}: download failed: {reason} (files go to {constants.HF_HUB_CACHE}; set HF_HOME to change that)"
        ) from error


def is_outage(error: Exception) -> bool:
    """Whether the hub, or a server in front of it, is out of order for now."""
    from huggingface_hub.errors import HfHubHTTPError

    if not isinstance(error, HfHubHTTPError):
        return True
    return error.response.status_code >= 500 or error.response.status_code == 429


def cache_folder(model: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model")


def look_up(model: str, revision: str | None, patterns: Sequence[str]) -> Repository:
    from huggingface_hub import HfApi, constants

    timeout = constants.HF_HUB_ETAG_TIMEOUT
    info = HfApi().model_info(model, revision=revision, files_metadata=True, timeout=timeout)
    files = []
    for file in info.siblings or ():
        if "/" in file.rfilename or not any(fnmatchcase(file.rfilename, pattern) for pattern in patterns):
            continue
        blob = file.lfs.sha256 if file.lfs is not None else file.blob_id
        if file.size is None or blob is None or not HASH.fullmatch(blob):
            raise CheckpointError(f"{model}: {constants.ENDPOINT} lists no hash of {file.rfilename} to check it by")
        files.append(RemoteFile(file.rfilename, file.size, blob))
    for pattern in patterns:
        if pattern not in OPTIONAL and not any(fnmatchcase(file.name, pattern) for file in files):
            raise CheckpointError(f"{model}: not a model that can be served: the hub lists no {pattern} files for it")
    return Repository(model, str(info.sha), tuple(files), cache_folder(model))


def fetch(repository: Repository, progress: Progress) -> None:
    """Fetches every missing file, several at once, and reports the progress of all files together."""
    total = sum(file.size for file in repository.files)
    missing = [file for file in repository.files if not repository.is_there(file)]
    (repository.folder / "blobs").mkdir(parents=True, exist_ok=True)
    needed = sum(file.size - repository.bytes_of(file) for file in missing)
    free = disk_usage(repository.folder).free
    if needed > free:
        raise CheckpointError(
            f"{repository.model}: {needed / 1e9:.1f} GB are still to be downloaded, but {repository.folder.parent} has "
            f"{free / 1e9:.1f} GB left: free some, or set HF_HOME to a folder on another disk"
        )
    # Its threads are daemons: Ctrl-C ends the program at once, and the next run resumes from what was written.
    with ThreadPool(FILES_AT_ONCE) as pool:
        fetched = pool.imap_unordered(lambda file: fetch_file(repository, file), missing)
        left = len(missing)
        while left:
            try:
                fetched.next(timeout=POLL_SECONDS)
                left -= 1
            except NothingYet:
                pass
            progress(sum(map(repository.bytes_of, repository.files)), total)


def fetch_file(repository: Repository, file: RemoteFile) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import WeakFileLock, build_hf_headers
    from huggingface_hub.utils.tqdm import silent_tqdm

    place, partial = repository.place(file), repository.partial(file)
    lock = repository.folder.parent / ".locks" / repository.folder.name / f"{file.blob}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if repository.is_there(file):  # Another process was faster.
            return
        place.unlink(missing_ok=True)
        if partial.exists() and partial.stat().st_size > file.size:
            partial.unlink()
        with partial.open("ab") as stream:
            http_get(
                hf_hub_url(repository.model, file.name, revision=repository.commit),
                stream,
                resume_size=stream.tell(),
                headers=build_hf_headers(library_name="carousel"),
                expected_size=file.size,
                tqdm_class=silent_tqdm,
            )
        if not file.matches(partial):
            partial.unlink()
            raise CheckpointError(
                f"{repository.model}: {file.name} arrived damaged: its hash is not the one the hub lists. It was "
                f"deleted: run `carousel pull {repository.model}` to fetch it again"
            )
        partial.rename(place)


def unreachable(error: Exception, folder: Path) -> str:
    """Why a model cannot be downloaded, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    part = any(folder.glob("blobs/*"))
    here = "only a part is downloaded" if part else "no such directory; as a hub model not downloaded yet"
    if isinstance(error, OfflineModeIsEnabled):
        return f"{here}, and HF_HUB_OFFLINE forbids fetching it: unset that, or give a directory that has the model"
    if distrusted := distrust(error):
        return (
            f"{here}, and {constants.ENDPOINT} cannot be trusted: {distrusted.verify_message}: if a proxy intercepts "
            f"TLS, set SSL_CERT_FILE to its CA certificate, then run this again"
        )
    return (
        f"{here}, and {constants.ENDPOINT} cannot be reached ({type(error).__name__}): check the network or the proxy, "
        f"or set HF_ENDPOINT to a mirror, then run this again: it resumes where it stopped"
    )


def distrust(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """The certificate's verification error, if that is why there is no connection."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def refusal(error: Exception, revision: str | None) -> str:
    """What the hub's answer means, and what to do."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    match error:
        case GatedRepoError():
            return f"access is restricted: accept its terms on its page on the hub, then {NEW_TOKEN}"
        case RepositoryNotFoundError():
            return f"no such directory, and no such model on the hub; if it is private, {NEW_TOKEN}"
        case RevisionNotFoundError():
            return f"the hub has no revision {revision}: leave --revision out for the newest"
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return f"the hub does not accept the token: {NEW_TOKEN}"
        case HfHubHTTPError():
            status = error.response.status_code
            return f"the hub answered {status}: try again later; the download resumes where it stopped"
        case JSONDecodeError():
            return "the server that answered is not the hub: check the network, the proxy or HF_ENDPOINT"
    return str(error)

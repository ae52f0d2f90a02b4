"""A container of an image, as an orchestrator would run it: the image sets the command, the rest is strict.

The root file system is read-only except /tmp, there are no capabilities, and no network except the container's own
loopback, so that programs in it can download nothing. Needs root and Debian's buildah and runc.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@dataclass(frozen=True, slots=True)
class Image:
    """An image's own configuration."""

    command: tuple[str, ...]
    environment: tuple[str, ...]
    working_directory: str
    user: str
    healthcheck: tuple[str, ...]
    stop_signal: str

    @classmethod
    def inspect(cls, name: str) -> "Image":
        config = json.loads(output("buildah", "inspect", "--type", "image", name))["Docker"]["config"]
        kind, *healthcheck = config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return cls(
            command=(*config["Entrypoint"], *config["Cmd"]),
            environment=tuple(config["Env"]),
            working_directory=config["WorkingDir"],
            user=config["User"],
            healthcheck=tuple(healthcheck),
            stop_signal=config["StopSignal"],
        )


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """The image's file system. Changes to it are discarded."""
    container = output("buildah", "from", "--pull-never", image).strip()
    try:
        yield Path(output("buildah", "mount", container).strip())
    finally:
        output("buildah", "rm", container)


def runtime_config(image: Image, root: Path) -> dict[str, object]:
    """As in https://github.com/opencontainers/runtime-spec/blob/main/config.md"""
    uid, gid = (int(part) for part in image.user.split(":"))
    temporary = ["nosuid", "nodev", "noexec", "mode=1777"]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": image.command,
            "env": image.environment,
            "cwd": image.working_directory,
            "user": {"uid": uid, "gid": gid},
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "tmpfs", "options": temporary},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": temporary},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    process: "subprocess.Popen[str]"

    @property
    def log(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Starts another command in the container, as its user."""
        pipe = subprocess.PIPE
        return subprocess.Popen(["runc", "exec", self.name, *command], stdin=pipe, stdout=pipe, text=True)

    def run(self, *command: str) -> str:
        return output("runc", "exec", self.name, *command)

    def signal(self, name: str) -> None:
        output("runc", "kill", self.name, name)


@contextmanager
def running(image: Image, root: Path, bundle: Path) -> Iterator[Container]:
    """`bundle` is an empty directory; its name becomes the container's."""
    (bundle / "config.json").write_text(json.dumps(runtime_config(image, root)))
    command = ["runc", "run", "--bundle", bundle, bundle.name]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Container(bundle.name, process)
        finally:
            subprocess.run(["runc", "delete", "--force", bundle.name], check=True)

"""Where measurements come from: the machine, the versions, the commit."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx

from clients.client import AsyncCarousel
from clients.errors import ClientError

CPU_INFO = Path("/proc/cpuinfo")


async def environment(client: AsyncCarousel, model: str) -> dict[str, Any]:
    """Describes this program, and the server as far as it reports itself. The GPU is this machine's."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "server": client.url,
        "server_version": await server_version(client),
        "model": model,
        "client_version": package_version("carousel-llm"),
        "commit": commit(),
        "python": platform.python_version(),
        "httpx": httpx.__version__,
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "gpu": output(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]),
    }


async def server_version(client: AsyncCarousel) -> str | None:
    try:
        return await client.version()
    except ClientError:
        return None


def package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of this checkout, followed by -dirty if the code was changed since. None if the package is installed,
    even within another program's repository."""
    if output(["git", "ls-files", "--error-unmatch", Path(__file__).name]) is None:
        return None
    return output(["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])


def cpu_name() -> str:
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def output(command: Sequence[str]) -> str | None:
    """A command's output; None if there is none, or if the command is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None

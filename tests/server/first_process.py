"""Programs as the first process of a container: Linux spares that one the signals that it does not handle."""

import shutil
import subprocess

AS_FIRST = ["unshare", "--pid", "--fork"]


def can_be_first() -> bool:
    """Whether this machine lets a program be one."""
    return shutil.which("unshare") is not None and subprocess.run([*AS_FIRST, "true"], check=False).returncode == 0

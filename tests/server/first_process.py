"""Programs as the first process of a container, to which Linux does not deliver signals that it does not handle."""

import shutil
import subprocess

AS_FIRST = ["unshare", "--pid", "--fork"]


def can_be_first() -> bool:
    """Whether this machine lets a program be a first process."""
    return shutil.which("unshare") is not None and subprocess.run([*AS_FIRST, "true"], check=False).returncode == 0

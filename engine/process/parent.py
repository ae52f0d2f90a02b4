"""Ends the engine's process with the server's, however the server ends and whatever the engine is doing."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """On Linux, has this process killed when the thread that started it ends: that of the server's event loop. A server
    that is already gone has closed the pipe. Elsewhere only the closed pipe ends the engine, once it reads from it.
    """
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit()

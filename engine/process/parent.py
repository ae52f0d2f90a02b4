"""The engine's process ends with the server's, however that ends, and whatever it is at itself."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """On Linux, has this process killed when the thread that started it ends: the one of the server's event loop. A
    server that is gone already has closed the pipe. Elsewhere the pipe alone tells, to an engine that reads it.
    """
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit()

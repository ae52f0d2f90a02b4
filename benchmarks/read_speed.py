"""How fast this machine's memory can be read, which bounds every program that reads its weights once a step."""

import shutil
import subprocess
from pathlib import Path
from statistics import median

MEBIBYTES = 1024
"""Too much for any cache."""
SOURCE = Path(__file__).with_suffix(".c")


class ReadSpeed:
    """A loop of vector loads over huge pages, compiled for this machine."""

    def __init__(self, work: Path, threads: int, mebibytes: int = MEBIBYTES) -> None:
        """Raises RuntimeError without a C compiler."""
        if (compiler := shutil.which("cc") or shutil.which("gcc")) is None:
            raise RuntimeError("measuring the memory's speed needs a C compiler")
        self._program = work / "read_speed"
        self._sizes = str(mebibytes), str(threads)
        flags = "-O3", "-march=native", "-pthread"
        subprocess.run([compiler, *flags, str(SOURCE), "-o", str(self._program)], check=True)

    def measure(self) -> float:
        """Bytes a second, the median of five. The very first pass, with new pages, does not count."""
        command = [str(self._program), *self._sizes, "6"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return median(float(line) for line in done.stdout.splitlines()[1:])

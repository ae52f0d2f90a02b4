"""Compiles Triton kernels for GPUs that this machine does not have, and reads the result.

The tests' own process runs Triton's interpreter, so the compiler works in a process of its own:

    compile_ahead([Kernel("engine.kernels.triton.x:kernel", {"x": "*bf16", "n": "i32"}, {"BLOCK": 64})])
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[4]


@dataclass(frozen=True)
class Kernel:
    """A kernel `module:name`, the types of its arguments (`*bf16`, `i32`, …), its constants, and the GPU's compute
    capability. Pointers, and the integers named in `aligned`, are multiples of 16."""

    name: str
    arguments: dict[str, str]
    constants: dict[str, Any]
    num_warps: int = 4
    num_stages: int = 3
    capability: int = 90
    aligned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Binary:
    """A thread's registers and spilled bytes, a program's bytes of shared memory, and the machine code: instructions
    and labels (`.L_x_1:`)."""

    registers: int
    spills: int
    shared: int
    code: list[str] = field(repr=False)

    def count(self, pattern: str) -> int:
        """The number of instructions whose text matches the regular expression."""
        return sum(bool(re.search(pattern, line)) for line in self.code)

    def loops(self, pattern: str) -> list[list[str]]:
        """The instructions from a label to a branch back to it, if one of them matches the regular expression."""
        starts, bodies = {}, []
        for place, line in enumerate(self.code):
            target = re.search(r"BRA.*`\((\S+)\)", line)
            if line.endswith(":"):
                starts[line[:-1]] = place
            elif target and target[1] in starts:
                body = [line for line in self.code[starts[target[1]] : place + 1] if not line.endswith(":")]
                bodies += [body] if any(re.search(pattern, line) for line in body) else []
        return bodies


def compile_ahead(kernels: Sequence[Kernel]) -> list[Binary]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    with tempfile.TemporaryDirectory() as directory:
        run = subprocess.run(
            [sys.executable, "-m", "tests.engine.kernels.triton.ahead"],
            input=json.dumps([asdict(kernel) for kernel in kernels]),
            env=environment | {"TRITON_CACHE_DIR": directory},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert run.returncode == 0, run.stderr
    return [Binary(**binary) for binary in json.loads(run.stdout)]


def compile_one(kernel: Kernel) -> Binary:
    """Works only if Triton compiles, not under its interpreter."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.runtime import driver

    module, name = kernel.name.split(":")
    function = getattr(importlib.import_module(module), name)
    signature = {arg: "constexpr" if arg in kernel.constants else kernel.arguments[arg] for arg in function.arg_names}
    aligned = {
        (i,): [["tt.divisibility", 16]]
        for i, arg in enumerate(function.arg_names)
        if arg in kernel.aligned or signature[arg].startswith("*")
    }
    source = ASTSource(
        function, signature, {(function.arg_names.index(a),): v for a, v in kernel.constants.items()}, aligned
    )
    target = GPUTarget("cuda", kernel.capability, 32)
    driver.set_active(SimpleNamespace(get_current_target=lambda: target))  # Kernels ask it for their target.
    compiled = triton.compile(
        source,
        target=target,
        options={"num_warps": kernel.num_warps, "num_stages": kernel.num_stages},
    )
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(compiled.asm["cubin"])
        cubin.flush()
        usage = read_tool(tools / "cuobjdump", "-res-usage", cubin.name)
        code = read_tool(tools / "nvdisasm", "-hex", "-c", cubin.name)
    resources = {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    lines = re.findall(r"^(\.L_x_\d+:)|/\*[0-9a-f]{4,}\*/\s+(.*?);", code, re.MULTILINE)
    instructions = [label or instruction for label, instruction in lines]
    spills = resources["STACK"] + resources["LOCAL"]
    return Binary(resources["REG"], spills, compiled.metadata.shared, instructions)


def read_tool(*command: object) -> str:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    binaries = [compile_one(Kernel(**kernel)) for kernel in json.load(sys.stdin)]
    json.dump([asdict(binary) for binary in binaries], sys.stdout)

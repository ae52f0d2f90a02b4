"""Checks an image of the CPU target: its contents, and that its container answers and stops as it should.

python3 -m tests.deploy.image.check carousel:cpu
"""

import json
import re
import sys
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from tests.deploy.image.container import Container, Image, mounted, running

PINS = Path(__file__).parents[3] / "constraints.txt"
LIST = (
    "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions(path=[%r])), sep='\\n')"
)
CHAT = """
import httpx
question = {"messages": [{"role": "user", "content": "Who are you?"}], "temperature": 0}
answer = httpx.post("http://127.0.0.1:8000/v1/chat/completions", json=question, timeout=60).raise_for_status()
print(answer.json()["choices"][0]["message"]["content"])
"""
STREAM = """
import httpx
from time import monotonic
request = {"prompt": "Once upon a time", "max_tokens": 100, "ignore_eos": True, "stream": True}
with httpx.stream("POST", "http://127.0.0.1:8000/v1/completions", json=request, timeout=60) as response:
    for line in response.iter_lines():
        if line:
            print(monotonic(), line, flush=True)
"""


def canonical(name: str) -> str:
    """https://packaging.python.org/en/latest/specifications/name-normalization/"""
    return re.sub(r"[-_.]+", "-", name).lower()


def check_packages(container: Container, root: Path) -> None:
    """Every package has the tested version, and nothing that installs or compiles is in the image."""
    (packages,) = root.glob("opt/carousel/lib/python3*/site-packages")
    listed = container.run("python3", "-c", LIST % f"/{packages.relative_to(root)}").splitlines()
    installed = {canonical(name): version.partition("+")[0] for name, version in (line.split("==") for line in listed)}
    installed.pop("carousel-llm")
    lines = (line for line in PINS.read_text().splitlines() if not line.startswith("#"))
    pinned = {canonical(name): version for name, version in (line.split("==") for line in lines)}
    differing = {name: version for name, version in installed.items() if pinned.get(name) != version}
    assert not differing, f"not as in constraints.txt: {differing}"
    present = [path for path in root.glob("*/bin/*") if path.name in {"gcc", "g++", "cc", "c++", "clang"}]
    assert not present
    assert "pip" not in installed
    print(f"packages    {len(installed)}, versions as in constraints.txt; no compiler, and no pip among them")


def check_weights(root: Path) -> None:
    weights = [path.relative_to(root) for path in root.rglob("*.safetensors")]
    assert [path.parts[-3:] for path in weights] == [("engine", "embedded", "model.safetensors")], weights
    assert not any((root / "models").iterdir())
    print("weights     the embedded model's")


def check_drain(container: Container, stop_signal: str) -> None:
    """If it is stopped in the middle of a stream, the server finishes the stream before it ends."""
    with container.start("python3", "-c", STREAM) as stream:
        assert stream.stdout is not None
        stream.stdout.readline()
        container.signal(stop_signal)
        told = monotonic()
        lines = [line.split(maxsplit=1) for line in stream.stdout]
    (_, last), (ended, done) = lines[-2:]
    assert done == "data: [DONE]\n", done
    assert json.loads(last.removeprefix("data: "))["choices"][0]["finish_reason"] == "length", last
    assert float(ended) > told, "the stream ended too soon to tell"
    assert (code := container.process.wait(timeout=30)) == 0, f"exit code {code}"
    print(
        f"stopping    {stop_signal} in the middle of a stream: it ended whole, {len(lines)} events later; exit code 0"
    )


def main(name: str) -> None:
    image = Image.inspect(name)
    print("image       runs", *image.command, "as", image.user)
    with mounted(name) as root, TemporaryDirectory(prefix="carousel-") as bundle:
        check_weights(root)
        with running(image, root, Path(bundle)) as container:
            log = list(takewhile(lambda line: " is ready: " not in line, container.log))
            assert not [line for line in log if "plain torch" in line], log
            print("kernels     those that were compiled ahead")
            check_packages(container, root)
            container.run(*image.healthcheck)
            print("health      exit code 0")
            print("chat        Who are you?", container.run("python3", "-c", CHAT).rstrip())
            check_drain(container, image.stop_signal)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""docker-compose.yml, as Docker Compose itself reads it."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.auth import read_keys
from tests.deploy.serve_command import serve_settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
PROGRAM = Path(sysconfig.get_path("scripts")) / "docker-compose"


def compose(file: Path, *profiles: str, **variables: str) -> subprocess.CompletedProcess[str]:
    options = [option for profile in profiles for option in ("--profile", profile)]
    command = [PROGRAM, "--project-directory", str(ROOT), "--file", str(file), *options, "config"]
    environment = {**os.environ, **variables}
    return subprocess.run([*command, "--format", "json"], capture_output=True, text=True, env=environment)


def resolved(*profiles: str, **variables: str) -> dict[str, Any]:
    result = compose(FILE, *profiles, **variables)
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_profiles() -> None:
    assert resolved()["services"].keys() == {"carousel"}
    assert resolved("gpu")["services"].keys() == {"carousel", "carousel-gpu"}
    assert resolved("observe")["services"].keys() == {"carousel", "prometheus", "grafana"}


def test_what_compose_refuses_is_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text().replace("read_only: true", "readonly: true"))
    assert "readonly" in compose(wrong, "*").stderr


def test_images_are_pinned_by_digest_or_built_from_a_target() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for service in resolved("*")["services"].values():
        if "build" in service:
            assert re.search(rf"^FROM runtime AS {service['build']['target']}$", dockerfile, re.MULTILINE)
        else:
            assert re.fullmatch(r"[\w/]+:v?[\d.]+@sha256:[0-9a-f]{64}", service["image"])


def test_every_service_is_confined() -> None:
    for service in resolved("*")["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", []))


def test_what_is_served() -> None:
    services = resolved("*")["services"]
    assert services["carousel"]["command"] is None, "the image's: the embedded model"
    settings = serve_settings(["serve"], services["carousel"]["environment"])
    assert (settings["model"], settings["device"]) == ("embedded", "auto")
    assert settings["api_key_file"] is None
    settings = serve_settings(["serve"], services["carousel-gpu"]["environment"])
    assert (settings["model"], settings["device"]) == ("openai/gpt-oss-20b", "cuda")
    assert settings["api_key_file"] is None
    for name in ("carousel", "carousel-gpu"):
        assert services[name]["stop_grace_period"] == "30s"
    assert settings["drain_timeout"] < 30
    others = resolved("gpu", MODEL="openai/gpt-oss-120b", ALLOWED_HOST="box box.example")["services"]
    for name, model in (("carousel", "embedded"), ("carousel-gpu", "openai/gpt-oss-120b")):
        settings = serve_settings(["serve"], others[name]["environment"])
        assert settings["model"] == model
        assert settings["allowed_host"] == [name, "box", "box.example"]


def test_what_carousel_env_says_goes_before(tmp_path: Path) -> None:
    settings = {
        "CAROUSEL_MODEL": "openai/gpt-oss-120b",
        "CAROUSEL_ALLOWED_HOST": "box.example",
        "CAROUSEL_API_KEY_FILE": "/keys",
        "CAROUSEL_DEVICE": "cuda:1",
        "HF_TOKEN_PATH": "/token",
        "CAROUSEL_MAX_MODEL_LEN": "65536",
    }
    (tmp_path / "carousel.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    file = tmp_path / "docker-compose.yml"
    file.write_text(FILE.read_text().replace("path: carousel.env", f"path: {tmp_path / 'carousel.env'}"))
    result = compose(file, "gpu", MODEL="openai/gpt-oss-20b", API_KEY_FILE=str(FILE))
    assert json.loads(result.stdout)["services"]["carousel-gpu"]["environment"] == settings


def test_what_is_mounted_is_there() -> None:
    for service in resolved("*")["services"].values():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert Path(volume["source"]).is_file()
                assert volume["read_only"]


@pytest.mark.parametrize("token", [None, "hf_secret"])
def test_the_hubs_token_is_read_from_a_file(tmp_path: Path, token: str | None) -> None:
    """And may be left out: then an empty file is in its place."""
    variables = {}
    if token is not None:
        (tmp_path / "token").write_text(f"{token}\n")
        variables["HF_TOKEN_FILE"] = str(tmp_path / "token")
    configuration = resolved("gpu", **variables)
    service = configuration["services"]["carousel-gpu"]
    assert service["environment"]["HF_TOKEN_PATH"] == "/run/secrets/hf_token"
    assert {"source": "hf_token", "target": "/run/secrets/hf_token"} in service["secrets"]
    file = configuration["secrets"]["hf_token"]["file"]
    assert Path(file).is_file(), "a device cannot be mounted everywhere"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    read = subprocess.run(
        [sys.executable, "-c", "import huggingface_hub; print(huggingface_hub.get_token())"],
        env={**environment, "HF_TOKEN_PATH": file},
        capture_output=True,
        text=True,
    )
    assert read.stdout == f"{token}\n"


def test_the_servers_key_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("xyzzy-plugh\n")
    configuration = resolved("*", API_KEY_FILE=str(tmp_path / "key"))
    services, secret = configuration["services"], configuration["secrets"]["api_key"]["file"]
    assert read_keys(Path(secret)) == ["xyzzy-plugh"]
    for name in ("carousel", "carousel-gpu"):
        settings = serve_settings(["serve"], services[name]["environment"])
        assert settings["api_key_file"] == "/run/secrets/api_key"
    for name in ("carousel", "carousel-gpu", "prometheus"):
        assert {"source": "api_key", "target": "/run/secrets/api_key"} in services[name]["secrets"]


def test_prometheus_asks_every_server() -> None:
    services = resolved("*")["services"]
    (job,) = yaml.safe_load((ROOT / "docs/deploy/prometheus.yml").read_text())["scrape_configs"]
    assert job["authorization"] == {"credentials_file": "/run/secrets/api_key"}
    (discovery,) = job["dns_sd_configs"]
    assert set(discovery["names"]) == {name for name, service in services.items() if "build" in service}
    for name in discovery["names"]:
        assert [port["target"] for port in services[name]["ports"]] == [discovery["port"]]


def test_grafana_is_given_the_dashboard() -> None:
    mounts = {volume["target"]: Path(volume["source"]) for volume in resolved("*")["services"]["grafana"]["volumes"]}
    mounts = {target: source for target, source in mounts.items() if source.is_file()}
    (provider,) = yaml.safe_load(mounts["/etc/grafana/provisioning/dashboards/carousel.yml"].read_text())["providers"]
    dashboards = [
        source for target, source in mounts.items() if Path(target).parent == Path(provider["options"]["path"])
    ]
    assert dashboards == [ROOT / "docs/deploy/grafana/carousel.json"]
    (source,) = yaml.safe_load(mounts["/etc/grafana/provisioning/datasources/carousel.yml"].read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"

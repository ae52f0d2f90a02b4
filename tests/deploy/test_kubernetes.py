"""The Kubernetes manifests."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fastapi import FastAPI

from tests.deploy.serve_command import serve_settings

ROOT = Path(__file__).parents[2]
MANIFESTS = list(yaml.safe_load_all((ROOT / "docs/deploy/kubernetes/carousel.yaml").read_text()))
(DEPLOYMENT,) = (manifest for manifest in MANIFESTS if manifest["kind"] == "Deployment")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=[manifest["kind"] for manifest in MANIFESTS])
def test_manifests(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.34", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**manifest, "spec": {**manifest["spec"], "replica": 1}}, "1.34", strict=True)


def test_probes_ask_routes(app: FastAPI) -> None:
    paths = {name: CONTAINER[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/ready", "readiness": "/ready", "liveness": "/health"}
    assert set(paths.values()) <= app.openapi()["paths"].keys()


def test_the_server_takes_what_it_is_told() -> None:
    environment = {variable["name"]: variable["value"] for variable in CONTAINER["env"] if "value" in variable}
    environment = {name: value.replace("$(NAMESPACE)", "here") for name, value in environment.items()}
    settings = serve_settings(CONTAINER["args"], environment)
    assert (settings["model"], settings["port"]) == ("openai/gpt-oss-20b", CONTAINER["ports"][0]["containerPort"])
    assert settings["device"] == "cuda"
    (service,) = (manifest["metadata"]["name"] for manifest in MANIFESTS if manifest["kind"] == "Service")
    suffixes = ("", ".here", ".here.svc", ".here.svc.cluster.local")
    assert settings["allowed_host"] == [service + suffix for suffix in suffixes]
    (secrets,) = (mount["mountPath"] for mount in CONTAINER["volumeMounts"] if mount["name"] == "secrets")
    assert Path(settings["api_key_file"]).parent == Path(environment["HF_TOKEN_PATH"]).parent == Path(secrets)


def test_there_is_time_to_drain() -> None:
    pause = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["terminationGracePeriodSeconds"] > pause + serve_settings(CONTAINER["args"], {})["drain_timeout"]


def test_variables_that_kubernetes_makes_of_services_stay_out() -> None:
    """A Service called carousel would set CAROUSEL_PORT to its URL."""
    assert POD["enableServiceLinks"] is False


def test_the_pod_may_write_where_the_image_does() -> None:
    mounts = {mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert {"/models", "/home/carousel/.triton", "/tmp"} <= mounts
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"USER {POD['securityContext']['runAsUser']}:{POD['securityContext']['runAsGroup']}\n" in dockerfile

"""Examples for systemd and Kubernetes, checked by their own tools, and their commands by ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from reporter.cli.exec import _split
from reporter.cli.root import root
from reporter.config import parse_config
from tests.cli.console import SCRIPT
from tests.publish.pushing import run, written
from tests.serve.serving import serving
from tests.servers import Server, binary, fetch, start_prometheus_of, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"
UNITS = sorted((EXAMPLES / "systemd").iterdir())
MANIFESTS = sorted((EXAMPLES / "kubernetes").iterdir())
SCHEMAS = Path(sys.prefix) / "sdks" / "kubernetes-validate"


def understood(words: list[str]) -> None:
    """Fails unless `reporter` takes these words as a command."""
    name, *arguments = words
    if name == "exec":
        options, command = _split(arguments)
        assert options["job"]
        assert command
        return
    context = root.make_context("reporter", list(words))
    command = root.get_command(context, name)
    assert command is not None
    command.make_context(name, arguments, parent=context)


def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    analyze = binary("systemd-analyze", "systemd")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/reporter/bin/reporter", SCRIPT)
        (tmp_path / unit.name).write_text(text)

    checked = subprocess.run(
        [analyze, "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS)],
        capture_output=True, text=True, check=False, env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip

    ours = [line for line in checked.stderr.splitlines() if any(unit.name in line for unit in UNITS)]
    assert (checked.returncode, ours) == (0, [])


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_a_unit_runs_what_there_is(unit: Path) -> None:
    (line,) = (line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    program, *words = line.removeprefix("ExecStart=").split()

    assert program == "/opt/reporter/bin/reporter"
    understood(words)


def test_a_stop_leaves_time_for_the_turn_at_work() -> None:
    deployment = next(document for document in documents(EXAMPLES / "kubernetes" / "reporter.yaml", "Deployment"))
    spec = deployment["spec"]["template"]["spec"]

    unit = (EXAMPLES / "systemd" / "reporter.service").read_text()
    assert "TimeoutStopSec=35" in unit  # more than --grace's default
    assert "RestartPreventExitStatus=2\n" in unit
    assert "25s" in spec["containers"][0]["args"]
    assert spec["terminationGracePeriodSeconds"] > 25


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest.name)
def test_kubernetes_takes_every_manifest(manifest: Path) -> None:
    if not SCHEMAS.is_dir():
        message = "kubernetes-validate is missing: make test installs it into .venv/sdks"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)

    checked = subprocess.run(
        [sys.executable, "-m", "kubernetes_validate", "--strict", str(manifest)],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(SCHEMAS)},
    )  # fmt: skip

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest.name)
def test_a_container_runs_what_there_is(manifest: Path) -> None:
    found = [container for pod in pods(list(documents(manifest))) for container in pod["containers"]]

    assert found
    for container in found:
        program, *words = container["args"]
        assert program == "reporter"
        understood(words)


def test_the_configuration_in_the_manifest_can_be_meant() -> None:
    (config,) = documents(EXAMPLES / "kubernetes" / "reporter.yaml", "ConfigMap")

    assert parse_config(config["data"]["reporter.yaml"], environ={}).slos[0].name == "llm-availability"


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest.name)
def test_no_pod_is_root_and_each_may_write_where_it_writes(manifest: Path) -> None:
    claims = {document["metadata"]["name"] for document in documents(manifest, "PersistentVolumeClaim")}
    for pod in pods(list(documents(manifest))):
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["fsGroup"]) == (True, security["runAsUser"])
        kinds = {volume["name"]: next(key for key in volume if key != "name") for volume in pod["volumes"]}
        assert set(kinds.values()) <= {"configMap", "emptyDir", "persistentVolumeClaim"}
        assert {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["volumes"]
            if "persistentVolumeClaim" in volume
        } <= claims
        for container in pod["containers"]:
            mounted = {mount["mountPath"]: kinds[mount["name"]] for mount in container["volumeMounts"]}
            state = next(variable["value"] for variable in container["env"] if variable["name"] == "XDG_STATE_HOME")
            assert mounted[state] != "configMap"
            assert container["securityContext"]["readOnlyRootFilesystem"]


def test_prometheus_finds_the_pod_under_the_job_that_the_alerts_look_for(tmp_path: Path) -> None:
    """A real Prometheus, told of pods as Kubernetes would: Debian's can't ask it for them.  All else is the example."""
    config = written(tmp_path, f"sqlite:///{tmp_path}/jobs.db", "http://127.0.0.1:9")
    assert run(config, "generate", "prometheus", "-o", str(tmp_path / "rules")).returncode == 0
    rules = yaml.safe_load((tmp_path / "rules" / "reporter.rules.yml").read_text())["groups"]
    stale = next(rule["expr"] for group in rules for rule in group["rules"] if rule.get("alert") == "ReporterStale")
    with serving(config, "--no-push") as served:
        served.wait_for("reported")
        scraping = yaml.safe_load((EXAMPLES / "prometheus" / "kubernetes.yml").read_text())
        (job,) = scraping["scrape_configs"]
        assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
        job["static_configs"] = [
            pod(served.port, app="reporter", port_name="metrics"), pod(1, app="web", port_name="metrics"),
            pod(2, app="reporter", port_name="debug"),
        ]  # fmt: skip
        prometheus = start_prometheus_of(tmp_path, yaml.safe_dump({"global": {"scrape_interval": "1s"}, **scraping}))
        try:
            wait_for(lambda: asked(prometheus, "reporter_as_of_timestamp_seconds"), 20, "it is scraped")
            found = [series["metric"] for series in asked(prometheus, "up")]
            firing = asked(prometheus, stale)
        finally:
            prometheus.kill()

    assert [(metric["job"], metric["instance"]) for metric in found] == [("reporter", "reporter")]
    assert firing == []


def pod(port: int, *, app: str, port_name: str) -> dict[str, Any]:
    """A pod's port, with the labels that Kubernetes' discovery gives it."""
    labels = {"__meta_kubernetes_pod_label_app": app, "__meta_kubernetes_pod_container_port_name": port_name}
    return {"targets": [f"127.0.0.1:{port}"], "labels": labels}


def asked(prometheus: Server, query: str) -> list[dict[str, Any]]:
    answer = json.loads(fetch(f"{prometheus.url}/api/v1/query?query={quote(query)}"))
    return list(answer["data"]["result"])


def pods(node: Any) -> Iterator[dict[str, Any]]:
    """Every pod's spec, wherever it is."""
    if isinstance(node, dict):
        if "containers" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from pods(part)


def documents(manifest: Path, kind: str | None = None) -> Iterator[dict[str, Any]]:
    for document in yaml.safe_load_all(manifest.read_text()):
        if kind in (None, document["kind"]):
            yield document

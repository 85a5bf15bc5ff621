"""Examples for systemd and Kubernetes, checked by their own tools, and their commands by ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reporter.cli.exec import _split
from reporter.cli.root import root
from reporter.config import parse_config
from tests.cli.console import SCRIPT
from tests.servers import binary

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

    assert "TimeoutStopSec=35" in (EXAMPLES / "systemd" / "reporter.service").read_text()  # more than --grace's default
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
    found = list(containers(list(documents(manifest))))

    assert found
    for container in found:
        program, *words = container["args"]
        assert program == "reporter"
        understood(words)


def test_the_configuration_in_the_manifest_can_be_meant() -> None:
    (config,) = documents(EXAMPLES / "kubernetes" / "reporter.yaml", "ConfigMap")

    assert parse_config(config["data"]["reporter.yaml"], environ={}).slos[0].name == "llm-availability"


def documents(manifest: Path, kind: str | None = None) -> Iterator[dict[str, Any]]:
    for document in yaml.safe_load_all(manifest.read_text()):
        if kind in (None, document["kind"]):
            yield document


def containers(node: Any) -> Iterator[dict[str, Any]]:
    """Every container, wherever it is."""
    if isinstance(node, dict):
        yield from node.get("containers", ())
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from containers(part)

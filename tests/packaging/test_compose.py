"""The compose example: its form by its schema, its parts by their own tools, and all of it run without containers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from reporter import __version__
from tests.cli.console import SCRIPT, environment
from tests.packaging.test_supervisors import understood
from tests.servers import (
    Postgres,
    Server,
    binary,
    fetch,
    free_port,
    wait_for,
)

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FILE = EXAMPLES / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def lines_of(command: str) -> list[list[str]]:
    """What a service's `sh -c` runs of ours, each as words."""
    return [part.split() for part in command.split("&&") if part.split()[0] == "reporter"]


# ── its form ──


def test_the_compose_specification_takes_it() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_image_is_pinned_and_every_port_is_this_machines_and_its_own() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]

    assert [name for name, service in SERVICES.items() if not re.search(r":v?\d+\.\d+", service["image"])] == []
    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)] == []
    assert len(set(ports)) == len(ports)


def test_no_password_is_in_it_and_every_variable_is_explained() -> None:
    used = dict(re.findall(r"(?<!\$)\$\{(\w+)(:[?-])", FILE.read_text()))
    explained = re.findall(r"^#? ?([A-Z_]+)=(.*)$", (EXAMPLES / ".env.example").read_text(), re.MULTILINE)

    assert set(used) == {name for name, _ in explained}
    assert [name for name, value in explained if name.endswith("PASSWORD") and (value or used[name] != ":?")] == []
    assert "examples/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_line_that_makes_passwords_makes_one_for_each(tmp_path: Path) -> None:
    (line,) = re.findall(r"^#   (\(umask .*\))$", FILE.read_text(), re.MULTILINE)
    shutil.copy(EXAMPLES / ".env.example", tmp_path)

    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)

    made = dict(entry.split("=") for entry in (tmp_path / ".env").read_text().splitlines())
    assert len(made) == len(set(made.values())) == 5
    assert {len(password) for password in made.values()} == {48}
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_whatever_is_mounted_or_waited_for_is_there() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            assert (EXAMPLES / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], mount
        for name, how in service.get("depends_on", {}).items():
            wanted = "healthcheck" if how["condition"] == "service_healthy" else "restart"
            assert SERVICES[name].get(wanted), (name, how)
    mounted = {mount.partition(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ())}
    assert mounted >= set(COMPOSE["volumes"])


def test_what_ends_is_not_restarted_and_what_stays_is() -> None:
    awaited = {
        name
        for service in SERVICES.values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }

    assert {name for name, service in SERVICES.items() if service["restart"] == "no"} == awaited
    assert {service["restart"] for name, service in SERVICES.items() if name not in awaited} == {"unless-stopped"}


def test_the_image_is_of_this_source_and_not_roots(tmp_path: Path) -> None:
    text = (EXAMPLES / "compose" / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) (\S+)$", text, re.MULTILINE)
    for sources, target in copied:
        for source in sources.split():
            there = tmp_path / target / (source if target == "./" else "")
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, there)

    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert built.returncode == 0, built.stdout + built.stderr
    assert text.rpartition("FROM")[2].count("USER 10001") == 1
    assert {service["pull_policy"] for service in SERVICES.values() if "build" in service} == {"build"}
    assert {service["image"] for service in SERVICES.values() if "build" in service} == {f"reporter:{__version__}"}


def test_a_stop_leaves_time_for_the_turn_at_work() -> None:
    understood(SERVICES["reporter"]["command"][1:])
    assert int(SERVICES["reporter"]["stop_grace_period"].removesuffix("s")) > 25


# ── run, without containers ──


class Machine:
    """The parts of compose.yaml on this machine: its commands and files, with our ports and directories for its own."""

    def __init__(self, directory: Path, postgres: Postgres, pushgateway: Server) -> None:
        self.directory, self.postgres = directory, postgres
        self.database = "compose"
        self.port = free_port()
        self.gateway = urllib.parse.urlsplit(pushgateway.url).netloc
        for name in ("generated", "grants", "spool"):
            (directory / name).mkdir()
        config = (EXAMPLES / "compose" / "reporter.yaml").read_text()
        (directory / "reporter.yaml").write_text(config)

    def run(self, service: str) -> subprocess.CompletedProcess[str]:
        """A service's command, to its end."""
        return subprocess.run(
            self.command(service), cwd=self.directory, env=self.environment(service), capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip

    def command(self, service: str) -> list[str]:
        return [self.here(word).replace("$$", "$") for word in SERVICES[service]["command"]]

    def environment(self, service: str) -> dict[str, str]:
        told = {name: f"{name}-of-the-test" for name in re.findall(r"\w+_PASSWORD", FILE.read_text())}
        given = SERVICES[service].get("environment", {})
        filled = {
            name: re.sub(r"\$\{(\w+):([?-])([^}]*)\}", lambda found: told.get(found[1], found[3]), value)
            for name, value in given.items()
        }
        if "REPORTER_DATABASE_URL" in filled:
            role = re.fullmatch(r"postgresql://(\w+)@postgres/reporter", filled["REPORTER_DATABASE_URL"])
            assert role
            user = "owner" if role[1] == "postgres" else role[1]
            filled["REPORTER_DATABASE_URL"] = self.postgres.url(self.database, user)
        if "PGHOST" in filled:
            filled |= {"PGHOST": str(self.postgres.directory), "PGUSER": "owner", "PGDATABASE": self.database}
        path = f"{Path(SCRIPT).parent}:{os.environ['PATH']}"
        return environment(self.directory, PATH=path, XDG_STATE_HOME=str(self.directory / "spool"), **filled)

    @contextmanager
    def watched(self) -> Iterator[Server]:
        """Its Prometheus, which tells its Alertmanager; of the generated files, but every second."""
        alertmanager = self.server("alertmanager", "prometheus-alertmanager", "prometheus-alertmanager")
        try:
            file = self.directory / "generated" / "prometheus" / "prometheus.yml"
            text = file.read_text().replace("interval: 15s", "interval: 1s").replace("pushgateway:9091", self.gateway)
            file.write_text(text.replace("alertmanager:9093", urllib.parse.urlsplit(alertmanager.url).netloc))
            prometheus = self.server("prometheus", "prometheus", "prometheus")
            try:
                yield prometheus
            finally:
                prometheus.kill()
        finally:
            alertmanager.kill()

    def server(self, service: str, program: str, package: str) -> Server:
        """A program under its own command line, ready when its health check says so."""
        port = free_port()
        (checked,) = (word for word in SERVICES[service]["healthcheck"]["test"] if word.startswith("http"))
        return Server(
            [binary(program, package), *self.command(service), f"--web.listen-address=127.0.0.1:{port}"],
            f"http://127.0.0.1:{port}", urllib.parse.urlsplit(checked).path, self.directory / f"{service}.log",
        )  # fmt: skip

    @contextmanager
    def served(self) -> Iterator[None]:
        """Its reporter, which ends well."""
        served = subprocess.Popen(
            [*self.command("reporter"), "--every", "2s"], cwd=self.directory, env=self.environment("reporter")
        )
        try:
            yield
            served.terminate()
            assert served.wait(40) == 0
        finally:
            served.kill()
            served.wait(10)

    def here(self, text: str) -> str:
        for theirs, ours in (
            ("/generated/", f"{self.directory}/generated/"),
            ("/grants/", f"{self.directory}/grants/"),
            ("=/prometheus", f"={self.directory}/prometheus"),
            ("=/alertmanager", f"={self.directory}/alertmanager"),
            ("/passwords.sql", f"{EXAMPLES}/compose/passwords.sql"),
            ("/job.py", f"{EXAMPLES}/compose/job.py"),
            ("0.0.0.0:9464", f"127.0.0.1:{self.port}"),
            ("127.0.0.1:9464", f"127.0.0.1:{self.port}"),
        ):
            text = text.replace(theirs, ours)
        return text


@pytest.fixture
def machine(tmp_path: Path, postgres: Postgres, pushgateway: Server) -> Iterator[Machine]:
    found = Machine(tmp_path, postgres, pushgateway)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE compose")
    yield found
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE compose WITH (FORCE)")


def test_its_one_shots_make_a_database_with_roles_that_have_passwords(machine: Machine) -> None:
    binary("psql", "postgresql-client")
    for _ in range(2):  # each start of the example
        for service in ("schema", "roles"):
            done = machine.run(service)
            assert done.returncode == 0, done.stderr

    with psycopg.connect(machine.postgres.url("compose")) as connection:
        named = "rolname LIKE 'reporter\\_%' AND rolpassword LIKE 'SCRAM-%'"
        found = connection.execute(f"SELECT rolname FROM pg_authid WHERE {named} ORDER BY 1").fetchall()
    assert found == [("reporter_asker",), ("reporter_job",), ("reporter_reporter",)]


def test_what_it_generates_is_taken_by_those_who_read_it_and_names_its_services(machine: Machine) -> None:
    done = machine.run("generate")
    again = machine.run("generate")

    assert (done.returncode, again.returncode) == (0, 0), done.stderr
    assert again.stdout.count("(as it was)") == len(again.stdout.splitlines())
    generated = machine.directory / "generated"
    for checked in (
        [binary("promtool", "prometheus"), "check", "config", "prometheus/prometheus.yml"],
        [binary("promtool", "prometheus"), "test", "rules", "prometheus/reporter.rules.test.yml"],
        [binary("amtool", "prometheus-alertmanager"), "check-config", "alertmanager/alertmanager.yml"],
    ):
        said = subprocess.run(checked, cwd=generated, capture_output=True, text=True, check=False, timeout=120)
        assert said.returncode == 0, said.stdout + said.stderr
    prometheus = yaml.safe_load((generated / "prometheus" / "prometheus.yml").read_text())
    targets = [config["static_configs"][0]["targets"] for config in prometheus["scrape_configs"]]
    targets += [told["static_configs"][0]["targets"] for told in prometheus["alerting"]["alertmanagers"]]
    (source,) = yaml.safe_load((generated / "grafana" / "datasources" / "reporter.yaml").read_text())["datasources"]
    named = {*(target for found in targets for target in found), urllib.parse.urlsplit(source["url"]).netloc}
    assert named == {"pushgateway:9091", "alertmanager:9093", "prometheus:9090"}
    for address in named:
        service, port = address.split(":")
        assert SERVICES[service]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert not (generated / "grafana" / "alerting").exists()  # Prometheus evaluates them
    (provider,) = yaml.safe_load((generated / "grafana" / "dashboards" / "reporter.yaml").read_text())["providers"]
    assert len(list(Path(provider["options"]["path"]).glob("*.json"))) == 6
    assert SERVICES["grafana"]["environment"]["GF_PATHS_PROVISIONING"] == "/generated/grafana"


def test_a_call_of_its_job_is_seen_in_its_prometheus(machine: Machine) -> None:
    for service in ("schema", "roles", "generate"):
        done = machine.run(service)
        assert done.returncode == 0, done.stderr
    config = machine.directory / "reporter.yaml"
    config.write_text(config.read_text().replace("pushgateway:9091", machine.gateway))
    once = re.search(r"python \S+", machine.command("job")[-1])
    assert once
    subprocess.run(["sh", "-c", once[0]], env=machine.environment("job"), check=True, timeout=60)

    with machine.watched() as prometheus, machine.served():
        good, bad = (
            f'slo_window_events{{slo="llm-availability", window="1h", result="{result}"}}' for result in ("good", "bad")
        )
        wait_for(lambda: asked(prometheus, good), 60, "the SLO is in Prometheus")
        assert (asked(prometheus, good) or 0) + (asked(prometheus, bad) or 0) == 20
        assert asked(prometheus, 'batch_job_running{batch_job="sample"}') == 0
        told = json.loads(fetch(prometheus.url + "/api/v1/alertmanagers"))["data"]["activeAlertmanagers"]
        assert len(told) == 1
        program, option, text = SERVICES["reporter"]["healthcheck"]["test"][1:]
        subprocess.run([shutil.which(program) or sys.executable, option, machine.here(text)], check=True, timeout=20)


def asked(prometheus: Server, query: str) -> float | None:
    """The one value of a query, if there is one."""
    found = json.loads(fetch(f"{prometheus.url}/api/v1/query?query={urllib.parse.quote(query)}"))["data"]["result"]
    return float(found[0]["value"][1]) if found else None

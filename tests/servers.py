"""Real servers, started by the tests that need them and stopped by pid; nothing that happens to run is used."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from reporter import migrate


def binary(name: str, package: str) -> str:
    """The path of a server, or a skip that says what to install; in CI a missing server is a failure."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    if found is None:
        message = f"{name} is missing: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until `condition` holds; an OSError counts as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


class Server:
    """A process with an HTTP address."""

    def __init__(self, arguments: list[str], url: str, ready: str, log: Path) -> None:
        self.arguments, self.url, self.ready, self.log = arguments, url, ready, log
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.arguments, stdout=log, stderr=log)
        wait_for(
            lambda: fetch(self.url + self.ready), 20, f"{self.arguments[0]} answers: {self.log.read_text()[-500:]}"
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def restart(self) -> None:
        self.kill()
        self.start()


def start_pushgateway(directory: Path, persistence: Path | None = None) -> Server:
    """A Pushgateway; memory only, unless `persistence` names its file (Debian's default is one that all share)."""
    port = free_port()
    options = [f"--persistence.file={persistence or ''}", "--persistence.interval=1s"]
    return Server(
        [
            binary("prometheus-pushgateway", "prometheus-pushgateway"),
            f"--web.listen-address=127.0.0.1:{port}",
            *options,
        ],
        f"http://127.0.0.1:{port}",
        "/-/ready",
        directory / "pushgateway.log",
    )


def start_prometheus(directory: Path, target: str, rules: str = "groups: []\n") -> Server:
    """A Prometheus that scrapes `target` (host:port) and evaluates `rules` every second."""
    (directory / "rules.yml").write_text(rules)
    return start_prometheus_of(
        directory,
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"
        f"scrape_configs:\n- {{job_name: pushgateway, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}\n",
    )


def start_prometheus_of(directory: Path, configuration: str) -> Server:
    """A Prometheus of this configuration."""
    port = free_port()
    (directory / "prometheus.yml").write_text(configuration)
    return Server(
        [
            binary("prometheus", "prometheus"),
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        f"http://127.0.0.1:{port}",
        "/-/ready",
        directory / "prometheus.log",
    )


def start_alertmanager(directory: Path, configuration: str) -> Server:
    """An Alertmanager of this configuration, that talks to no other."""
    port = free_port()
    (directory / "alertmanager.yml").write_text(configuration)
    return Server(
        [
            binary("prometheus-alertmanager", "prometheus-alertmanager"),
            f"--config.file={directory}/alertmanager.yml",
            f"--storage.path={directory}/alertmanager",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        f"http://127.0.0.1:{port}",
        "/-/ready",
        directory / "alertmanager.log",
    )


class Postgres:
    """A cluster of our own, on a unix socket in a temporary directory."""

    def __init__(self) -> None:
        binary("initdb", "postgresql")
        # Not pytest's own temporary directory: the server's user may not enter it, and a socket's path is at most 107 long.
        self.directory = Path(tempfile.mkdtemp(prefix="reporter-pg-"))
        self.data = self.directory / "data"
        self.as_user: list[str] = []
        if os.getuid() == 0:  # initdb refuses root
            shutil.chown(self.directory, "postgres")
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._numbers = itertools.count()
        self._create()
        self.start()

    def _create(self) -> None:
        self._run("initdb", "-U", "owner", "-A", "trust", "-N", "--no-locale", "-E", "UTF8")

    def start(self) -> None:
        options = f"-k {self.directory} -c listen_addresses='' -c fsync=off -c max_connections=60"
        self._run("pg_ctl", "-w", "-l", f"{self.directory}/log", "-o", options, "start")
        self.pid = int((self.data / "postmaster.pid").read_text().split()[0])

    def crash(self) -> None:
        """End at once, without a word to clients; `start` brings it back."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes stand still, and its socket still takes connections."""
        os.kill(self.pid, signal.SIGSTOP)  # first, so that it starts no more
        stopped = [self.pid, *self._children()]
        try:
            for pid in stopped[1:]:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in reversed(stopped):
                os.kill(pid, signal.SIGCONT)

    def _children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def fresh(self) -> str:
        """The URL of a new database at head."""
        number = next(self._numbers)
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if number == 0:
                connection.execute("CREATE DATABASE template_reporter")
                migrate.upgrade(self.url("template_reporter"))
            connection.execute(f"CREATE DATABASE test_{number} TEMPLATE template_reporter")
        return self.url(f"test_{number}")

    def url(self, name: str, user: str = "owner") -> str:
        return f"postgresql://{user}@/{name}?host={self.directory}"

    def stop(self) -> None:
        self.crash()
        shutil.rmtree(self.directory)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self.as_user, binary(program, "postgresql"), "-D", str(self.data), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            check=False,
        )
        assert done.returncode == 0, done.stderr


class Standby(Postgres):
    """A replica of `primary`, which can be read and not written."""

    def __init__(self, primary: Postgres) -> None:
        self.primary = primary
        super().__init__()

    def _create(self) -> None:
        self._run("pg_basebackup", "-h", str(self.primary.directory), "-U", "owner", "-c", "fast", "-R", "-N")

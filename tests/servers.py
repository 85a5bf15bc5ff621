"""Real servers, started by the tests that need them and stopped by pid; nothing that happens to run is used."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest


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
    port = free_port()
    (directory / "rules.yml").write_text(rules)
    (directory / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"
        f"scrape_configs:\n- {{job_name: pushgateway, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}\n"
    )
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


class Postgres:
    """A cluster of our own, on a unix socket in a temporary directory."""

    def __init__(self) -> None:
        initdb = binary("initdb", "postgresql")
        # Not pytest's own temporary directory: the server's user may not enter it, and a socket's path is at most 107 long.
        self.directory = Path(tempfile.mkdtemp(prefix="reporter-pg-"))
        self.data = self.directory / "data"
        self.as_user: list[str] = []
        if os.getuid() == 0:  # initdb refuses root
            shutil.chown(self.directory, "postgres")
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run([initdb, "-D", str(self.data), "-U", "owner", "-A", "trust", "-N", "--no-locale", "-E", "UTF8"])
        options = f"-k {self.directory} -c listen_addresses='' -c fsync=off -c max_connections=60"
        self._run(
            [
                binary("pg_ctl", "postgresql"),
                "-D",
                str(self.data),
                "-w",
                "-l",
                f"{self.directory}/log",
                "-o",
                options,
                "start",
            ]
        )
        self.pid = int((self.data / "postmaster.pid").read_text().split()[0])

    def url(self, name: str) -> str:
        return f"postgresql://owner@/{name}?host={self.directory}"

    def stop(self) -> None:
        self._run([binary("pg_ctl", "postgresql"), "-D", str(self.data), "-m", "immediate", "stop"])
        shutil.rmtree(self.directory)

    def _run(self, arguments: list[str]) -> None:
        done = subprocess.run(
            [*self.as_user, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            check=False,
        )
        assert done.returncode == 0, done.stderr

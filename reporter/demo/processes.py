"""The processes that the demo starts.  Each is ended by its own id when the demo ends, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from reporter.errors import ReporterError

GRACE_SECONDS = 3.0
GATEWAY = ("prometheus-pushgateway", "pushgateway")  # Debian's name, and upstream's


class DemoFailed(ReporterError):
    """A part of the demo did not do what it shows."""


class Processes:
    """Starts processes in one directory with one environment; a context manager that ends what still runs."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory, self.environment = directory, dict(environment)
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in self._running:
            try:
                process.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(
        self, *arguments: str, stdout: int | IO[str] | None = None, stderr: int | IO[str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a program of any kind."""
        process = subprocess.Popen(
            arguments, cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            text=True, encoding="utf-8",
        )  # fmt: skip
        self._running.append(process)
        return process

    def reporter(self, *arguments: str) -> None:
        """Run `reporter` as a person would, its output where ours goes.

        Raises:
            DemoFailed: it did not exit with 0.
        """
        sys.stdout.flush()
        code = self.start(sys.executable, "-m", "reporter", *arguments).wait()
        if code != 0:
            raise DemoFailed(f"demo: reporter {' '.join(arguments)} ended with {code}; its own message stands above")

    def gateway(self) -> str | None:
        """Start a Pushgateway on a free port of loopback; its URL, None when none is installed."""
        binary = next((found for name in GATEWAY if (found := shutil.which(name))), None)
        if binary is None:
            return None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        with (self.directory / "pushgateway.log").open("w", encoding="utf-8") as log:
            memory_only = "--persistence.file="  # Debian's default is a file that all its gateways share
            process = self.start(binary, f"--web.listen-address={address}", memory_only, stdout=log, stderr=log)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"http://{address}/-/ready", trust_env=False, timeout=2).status_code == 200:
                    return f"http://{address}"
            except httpx.HTTPError:
                time.sleep(0.05)
        log_text = (self.directory / "pushgateway.log").read_text(encoding="utf-8", errors="replace")
        raise DemoFailed(f"demo: {binary} did not start: {log_text.strip()[-300:] or 'it said nothing'}")


def clean_environment(**more: str) -> dict[str, str]:
    """This process' environment without what the person has set for their own `reporter`."""
    ours = ("REPORTER_", "OPENAI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Children must find the same package, though their working directory is another.
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package, *filter(None, [kept.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that what was started is ended; Ctrl-C is an exception already."""

    def leave(number: int, frame: object) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

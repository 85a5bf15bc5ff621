"""A real `reporter serve`, started as a supervisor starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.publish.pushing import command
from tests.servers import free_port, wait_for


class Served:
    """One process; it logs JSON lines into a file."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.port = free_port()
        self.log = config.with_name(f"serve-{self.port}.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command(config, "serve", "--listen", str(self.port), "--log-format", "json", *arguments),
                stdout=log, stderr=log,
            )  # fmt: skip

    def told(self, event: str | None = None) -> list[dict[str, Any]]:
        """What was logged so far, or that of one event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if event in (None, line["event"])]

    def wait_for(self, event: str, count: int = 1, seconds: float = 30) -> dict[str, Any]:
        """The first line of an event, once it was logged so often."""
        try:
            wait_for(lambda: len(self.told(event)) >= count, seconds, event)
        except AssertionError as error:
            raise AssertionError(f"{error} in {self.log.read_text()[-2000:]}") from None
        return self.told(event)[-1]

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def serving(config: Path, *arguments: str) -> Iterator[Served]:
    """A service, gone at the end."""
    served = Served(config, *arguments)
    try:
        yield served
    finally:
        served.process.send_signal(signal.SIGCONT)
        served.process.kill()
        served.process.wait(10)

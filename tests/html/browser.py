"""A headless Chromium of our own, spoken to through two pipes: no port, no driver.

Source: https://chromedevtools.github.io/devtools-protocol/, and `--remote-debugging-pipe`: JSON ended by a zero byte
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.servers import binary

Message = dict[str, Any]


class Browser:
    """One page in one browser; `events` has everything it told of."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="reporter-chromium-"))
        program = binary("chromium", "chromium")
        to_it, self._commands = os.pipe()
        self._answers, from_it = os.pipe()
        self._started(program, to_it, from_it)
        os.close(to_it)
        os.close(from_it)
        self.events: list[Message] = []
        self._number, self._buffer, self._session = 0, b"", ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def _started(self, program: str, to_it: int, from_it: int) -> None:
        # It reads descriptor 3 and writes 4, whatever numbers the pipes have here.
        shell = f'exec 3<&{to_it} 4>&{from_it}; exec "$@"'
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
        options += [
            "--disable-background-networking",
            "--disable-component-update",
            f"--user-data-dir={self.directory}",
        ]
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "chromium", program, *options], pass_fds=(to_it, from_it),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def ask(self, method: str, **parameters: Any) -> Message:
        """The answer to a command; what is told meanwhile goes to `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, (method, told["error"])
                return dict(told["result"])
            self.events.append(told)

    def _next(self, seconds: float = 60) -> Message:
        deadline = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            assert left > 0, "Chromium says nothing"
            if select.select([self._answers], [], [], left)[0]:
                chunk = os.read(self._answers, 1 << 20)
                assert chunk, "Chromium has gone"
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))

    def open(self, url: str) -> None:
        """Show a page, loaded."""
        self.events.clear()
        self.ask("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def resize(self, width: int, height: int, *, dark: bool = False, paper: bool = False) -> None:
        """As a screen of that size, or as paper."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[feature])

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is there."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, path: Path) -> None:
        """All of the page as a PNG."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def told(self, method: str) -> list[Message]:
        """The parameters of every event of a kind since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(20)
        os.close(self._commands)
        os.close(self._answers)
        shutil.rmtree(self.directory, ignore_errors=True)
